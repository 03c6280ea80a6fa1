//! What has to be done so that a server has what files say. Asks nothing.

use std::collections::BTreeMap;

use leasehold_client::LimitChanges;
use serde::Serialize;

use super::file::{TAG, Wanted};
use crate::commands::who::{slots, verb};

/// A limit that a server has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct There {
    pub(super) limit: u64,
    pub(super) slot_decay_per_second: f64,
    pub(super) active: bool,
    pub(super) taken: u64,
}

impl There {
    /// How many slots programs hold. Those of a rate limit are spent and come back by themselves.
    pub(super) fn held(&self) -> u64 {
        if self.slot_decay_per_second > 0.0 { 0 } else { self.taken }
    }
}

/// What is to be done about one limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Step {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) action: Action,
    /// Something to know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "action", content = "to")]
pub(super) enum Action {
    /// It is missing.
    Create(Fields),
    /// It is different: each field with what it is.
    Change(Vec<Change>),
    /// No file names it.
    Delete,
    /// It should be deleted or change its kind, and is held.
    Keep(String),
    /// It is as it should be.
    None,
}

/// A limit to create.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Fields {
    pub(super) limit: u64,
    pub(super) slot_decay_per_second: f64,
    pub(super) active: bool,
}

/// A field that is different.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "field")]
pub(super) enum Change {
    Limit { from: u64, to: u64 },
    SlotDecayPerSecond { from: f64, to: f64 },
    Active { from: bool, to: bool },
}

/// Prefect's server keeps a limit for each deployment. No file names these.
const OF_PREFECT: &str = "deployment:";

/// Whether a limit is an operator's, and not one that a server keeps for something else.
pub(super) fn is_managed(name: &str) -> bool {
    !name.starts_with(OF_PREFECT)
}

/// The steps, in the order of names.
pub(super) fn plan(
    wanted: &BTreeMap<String, Wanted>,
    there: &BTreeMap<String, There>,
    prune: bool,
) -> Vec<Step> {
    let mut steps: Vec<_> = wanted
        .values()
        .map(|wanted| match there.get(&wanted.name) {
            None => step(&wanted.name, Action::Create(fields(wanted))),
            Some(there) => changed(wanted, there),
        })
        .collect();
    let others = there.iter().filter(|(name, _)| prune && !wanted.contains_key(*name));
    steps.extend(others.filter(|(name, _)| is_managed(name)).map(|(name, there)| {
        step(
            name,
            match there.held() {
                0 => Action::Delete,
                held => Action::Keep(format!(
                    "{} {} held; delete it when they are free",
                    slots(held),
                    verb(held, "is", "are")
                )),
            },
        )
    }));
    steps.sort_by(|a, b| a.name.cmp(&b.name));
    steps
}

fn step(name: &str, action: Action) -> Step {
    Step { name: name.to_owned(), action, note: None, failure: None }
}

fn fields(wanted: &Wanted) -> Fields {
    let Wanted { limit, slot_decay_per_second, active, .. } = *wanted;
    Fields { limit, slot_decay_per_second, active }
}

fn changed(wanted: &Wanted, there: &There) -> Step {
    let mut changes = Vec::new();
    if there.limit != wanted.limit {
        changes.push(Change::Limit { from: there.limit, to: wanted.limit });
    }
    let (from, to) = (there.slot_decay_per_second, wanted.slot_decay_per_second);
    // What is held would drain as if it were spent.
    if from == 0.0 && to > 0.0 && there.held() > 0 {
        let why = format!(
            "it becomes a rate limit, and {} {} held; apply again when they are free",
            slots(there.held()),
            verb(there.held(), "is", "are")
        );
        return step(&wanted.name, Action::Keep(why));
    }
    if from != to {
        changes.push(Change::SlotDecayPerSecond { from, to });
    }
    if there.active != wanted.active {
        changes.push(Change::Active { from: there.active, to: wanted.active });
    }
    if changes.is_empty() {
        return step(&wanted.name, Action::None);
    }
    let is_below = wanted.limit < there.limit && wanted.limit < there.held();
    let note = is_below.then(|| {
        format!("{} stay held, and it grants nothing until enough are back", slots(there.held()))
    });
    Step { note, ..step(&wanted.name, Action::Change(changes)) }
}

impl Step {
    pub(super) fn is_to_do(&self) -> bool {
        !matches!(self.action, Action::None | Action::Keep(_))
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self.action, Action::Keep(_))
    }

    /// What it is about: `tag ocr` for the limit of a tag.
    pub(super) fn title(&self) -> String {
        self.name.strip_prefix(TAG).map_or_else(|| self.name.clone(), |tag| format!("tag {tag}"))
    }

    /// What is to be done, in words.
    pub(super) fn words(&self) -> String {
        let words = match &self.action {
            Action::Create(fields) => {
                let rate = match fields.slot_decay_per_second {
                    0.0 => String::new(),
                    rate => format!(", {rate} per second"),
                };
                let inactive = if fields.active { "" } else { ", inactive" };
                format!("limit {}{rate}{inactive}", fields.limit)
            }
            Action::Change(changes) => {
                let words: Vec<_> = changes.iter().map(Change::words).collect();
                words.join(", ")
            }
            Action::Delete => "no file names it".to_owned(),
            Action::Keep(why) => why.clone(),
            Action::None => "as it should be".to_owned(),
        };
        match &self.note {
            Some(note) => format!("{words} ({note})"),
            None => words,
        }
    }
}

impl Change {
    fn words(&self) -> String {
        match self {
            Self::Limit { from, to } => format!("limit {from} → {to}"),
            Self::SlotDecayPerSecond { from, to } => format!("per second {from} → {to}"),
            Self::Active { from: _, to: true } => "inactive → active".to_owned(),
            Self::Active { from: _, to: false } => "active → inactive".to_owned(),
        }
    }
}

/// The fields to send. What is the same is not sent, and `active_slots` never is: it would free
/// slots that are held.
pub(super) fn to_send(changes: &[Change]) -> LimitChanges {
    let mut sent = LimitChanges::default();
    for change in changes {
        match change {
            Change::Limit { to, .. } => sent.limit = Some(*to),
            Change::SlotDecayPerSecond { to, .. } => sent.slot_decay_per_second = Some(*to),
            Change::Active { to, .. } => sent.active = Some(*to),
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(limit: u64, decay: f64, taken: u64) -> There {
        There { limit, slot_decay_per_second: decay, active: true, taken }
    }

    fn wanted(name: &str, limit: u64, decay: f64) -> Wanted {
        Wanted { name: name.to_owned(), limit, slot_decay_per_second: decay, active: true }
    }

    fn words(wanted: &[Wanted], there: &[(&str, There)], prune: bool) -> Vec<String> {
        let wanted = wanted.iter().map(|limit| (limit.name.clone(), limit.clone())).collect();
        let there = there.iter().map(|(name, limit)| ((*name).to_owned(), limit.clone())).collect();
        let steps = plan(&wanted, &there, prune);
        steps.iter().map(|step| format!("{}: {}", step.title(), step.words())).collect()
    }

    #[test]
    fn what_is_there_as_it_should_be_stays() {
        let same = words(&[wanted("a", 5, 0.0)], &[("a", there(5, 0.0, 5))], true);
        assert_eq!(same, ["a: as it should be"]);
        let others = words(&[], &[("a", there(5, 0.0, 0))], false);
        assert!(others.is_empty());
    }

    #[test]
    fn what_is_held_is_neither_deleted_nor_made_a_rate() {
        let there = [
            ("deployment:1", there(1, 0.0, 0)),
            ("free", there(1, 0.0, 0)),
            ("held", there(3, 0.0, 2)),
            ("kind", there(3, 0.0, 1)),
            ("rate", there(3, 1.0, 3)),
        ];
        assert_eq!(
            words(&[wanted("kind", 3, 2.0)], &there, true),
            [
                "free: no file names it",
                "held: 2 slots are held; delete it when they are free",
                "kind: it becomes a rate limit, and 1 slot is held; apply again when they are free",
                "rate: no file names it",
            ]
        );
    }

    #[test]
    fn a_change_sends_what_changes_alone() {
        let steps = words(&[wanted("a", 2, 0.0)], &[("a", there(5, 0.0, 4))], false);
        assert_eq!(
            steps,
            ["a: limit 5 → 2 (4 slots stay held, and it grants nothing until enough are back)"]
        );
        let sent = to_send(&[Change::Limit { from: 5, to: 2 }]);
        assert_eq!(serde_json::to_string(&sent).unwrap(), r#"{"limit":2}"#);
    }
}
