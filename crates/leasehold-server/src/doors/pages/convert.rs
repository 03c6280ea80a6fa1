//! Forms of limits, checked by the rules of the API, as commands of the engine.

use leasehold_engine::{CreateLimit, LimitId, LimitPatch, LimitView, Rate, TAG_PREFIX};
use leasehold_prefect::limits::{CreateLimit as NewLimit, UpdateLimit};
use leasehold_prefect::tags::CreateTagLimit;
use leasehold_prefect::{Body, Invalid, Loc, Settings};
use serde_json::{Map, Value};

use super::form::Fields;
use super::show;
use crate::ids;

/// What is wrong with a form: the field, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Vec<(String, String)>);

/// What a form asks for.
pub(super) enum Wanted {
    /// A limit, or the limit of a tag that has none.
    New(CreateLimit),
    /// The limit of a tag: created, or changed if there is one.
    Tag(LimitId, String, u64),
}

impl Faults {
    pub(super) fn one(field: &str, sentence: impl Into<String>) -> Self {
        Self(vec![(field.to_owned(), sentence.into())])
    }

    /// What is wrong with a field.
    pub(super) fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, sentence)| sentence.as_str())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults that a body has by the rules of the API, beside the fields of the form.
    fn from_invalid(invalid: &Invalid) -> Self {
        let Invalid::Fields { details, .. } = invalid else {
            return Self::one("name", "This cannot be read as a limit.");
        };
        let faults = details.iter().map(|fault| {
            let field = fault.loc.iter().rev().find_map(|step| match step {
                Loc::Name(name) => Some(name.to_string()),
                Loc::Index(_) => None,
            });
            let field = match field.unwrap_or_default().as_str() {
                "limit" | "concurrency_limit" => "slots",
                "slot_decay_per_second" => "decay",
                _ => "name",
            };
            (field.to_owned(), format!("{}.", fault.msg.trim_end_matches('.')))
        });
        Self(faults.collect())
    }
}

/// A limit to create.
pub(super) fn create(fields: &Fields, is_tag: bool, settings: &Settings) -> Result<Wanted, Faults> {
    let mut body = Map::new();
    let mut faults = Faults::default();
    let id = LimitId(ids::random().as_u128());
    if fields.text("name").is_empty() {
        faults.0.push(("name".to_owned(), "Give it a name.".to_owned()));
    }
    let slots = slots(fields.text("slots"), &mut faults);
    if is_tag {
        body.insert("tag".to_owned(), fields.text("name").into());
        body.insert("concurrency_limit".to_owned(), slots);
        let body: CreateTagLimit = checked(&body, faults, settings)?;
        return Ok(Wanted::Tag(id, format!("{TAG_PREFIX}{}", body.tag), body.concurrency_limit));
    }
    body.insert("name".to_owned(), fields.text("name").into());
    body.insert("limit".to_owned(), slots);
    body.insert("active".to_owned(), (fields.text("active") != "false").into());
    body.insert("slot_decay_per_second".to_owned(), decay(fields.text("decay"), &mut faults));
    let body: NewLimit = checked(&body, faults, settings)?;
    Ok(Wanted::New(CreateLimit {
        active: body.active,
        decay: Rate::from_slots_per_second(body.slot_decay_per_second),
        ..CreateLimit::new(id, body.name, body.limit)
    }))
}

/// What a form changes of a limit: the fields that differ from those that the browser was shown.
pub(super) fn patch(
    fields: &Fields,
    view: &LimitView,
    settings: &Settings,
) -> Result<LimitPatch, Faults> {
    let mut body = Map::new();
    let mut faults = Faults::default();
    let differs = |name: &str| {
        fields.get(name).is_some() && fields.get(name) != fields.get(&format!("{name}_was"))
    };
    let prefix = if view.limit.tag().is_some() { TAG_PREFIX } else { "" };
    // An empty field leaves a name that no field can hold as it is.
    let says_name = !fields.text("name").is_empty() || is_typable(&view.limit.name);
    if says_name && differs("name") {
        if fields.text("name").is_empty() {
            faults.0.push(("name".to_owned(), "Give it a name.".to_owned()));
        }
        body.insert("name".to_owned(), format!("{prefix}{}", fields.text("name")).into());
    }
    if differs("slots") {
        body.insert("limit".to_owned(), slots(fields.text("slots"), &mut faults));
    }
    if differs("decay") {
        let decay = decay(fields.text("decay"), &mut faults);
        body.insert("slot_decay_per_second".to_owned(), decay);
    }
    if let Some(active) = fields.get("active_was").and(Some(fields.text("active")))
        && active != fields.text("active_was")
    {
        body.insert("active".to_owned(), (active == "true").into());
    }
    let body: UpdateLimit = checked(&body, faults, settings)?;
    Ok(LimitPatch {
        name: body.name.as_set().map(|name| name.as_str().into()),
        slots: body.limit.as_set().copied(),
        active: body.active.as_set().copied(),
        decay: body.slot_decay_per_second.as_set().copied().map(Rate::from_slots_per_second),
        ..LimitPatch::default()
    })
}

/// Whether a field of a form can hold this text: browsers change what has control characters.
pub(super) fn is_typable(text: &str) -> bool {
    !text.chars().any(show::is_hidden)
}

fn checked<T: Body>(
    body: &Map<String, Value>,
    faults: Faults,
    settings: &Settings,
) -> Result<T, Faults> {
    if !faults.is_empty() {
        return Err(faults);
    }
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    T::from_bytes(Some("application/json"), &bytes, settings)
        .map_err(|invalid| Faults::from_invalid(&invalid))
}

fn slots(text: &str, faults: &mut Faults) -> Value {
    let text = text.trim();
    let slots = text.parse::<u64>();
    if slots.is_err() {
        let sentence = match text {
            "" => "Say how many slots there are.".to_owned(),
            _ => format!("'{}' is no whole number such as 10.", show::visible(text)),
        };
        faults.0.push(("slots".to_owned(), sentence));
    }
    slots.unwrap_or_default().into()
}

/// Slots per second; an empty field is no decay.
fn decay(text: &str, faults: &mut Faults) -> Value {
    let text = text.trim();
    if text.is_empty() {
        return 0.0.into();
    }
    let decay = text.parse::<f64>().ok().filter(|decay| decay.is_finite() && *decay >= 0.0);
    if decay.is_none() {
        let sentence = format!("'{}' is no number such as 0.5.", show::visible(text));
        faults.0.push(("decay".to_owned(), sentence));
    }
    decay.unwrap_or_default().into()
}
