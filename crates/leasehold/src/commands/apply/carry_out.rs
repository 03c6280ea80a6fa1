//! What a server has, and a plan carried out there.

use std::collections::BTreeMap;

use leasehold_client::{Error, LimitChanges};

use super::file::TAG;
use super::plan::{Action, Step, There, to_send};
use crate::commands::api::{Api, NewLimit, found};
use crate::exit::Failure;

/// All limits of a server by their names; those of tags are called `tag:…`.
///
/// Prefect's servers before 3.4 have the limits of tags in a list of their own; newer ones, and
/// Leasehold, have them in both.
pub(super) async fn there(api: &Api) -> Result<BTreeMap<String, There>, Error> {
    let mut there = BTreeMap::new();
    for limit in api.limits().await? {
        there.insert(
            limit.name,
            There {
                limit: limit.limit,
                slot_decay_per_second: limit.slot_decay_per_second,
                active: limit.active,
                taken: limit.active_slots,
            },
        );
    }
    for limit in api.tag_limits().await? {
        there.entry(format!("{TAG}{}", limit.tag)).or_insert_with(|| There {
            limit: limit.concurrency_limit,
            slot_decay_per_second: 0.0,
            active: true,
            taken: limit.active_slots.len() as u64,
        });
    }
    Ok(there)
}

/// Carries out each step, whatever becomes of the others.
pub(super) async fn all(api: &Api, steps: &mut [Step]) {
    for step in steps.iter_mut().filter(|step| step.is_to_do()) {
        match one(api, step).await {
            Ok(None) => {}
            Ok(Some(kept)) => step.action = Action::Keep(kept),
            Err(failure) => step.failure = Some(failure.to_string()),
        }
    }
}

/// Answers why the limit stays, if slots of it were taken meanwhile.
async fn one(api: &Api, step: &Step) -> Result<Option<String>, Failure> {
    let name = step.name.as_str();
    match (&step.action, name.strip_prefix(TAG)) {
        (Action::Create(fields), Some(tag)) => {
            api.set_tag_limit(tag, fields.limit).await?;
        }
        (Action::Create(fields), None) => {
            let new = NewLimit {
                name: name.to_owned(),
                limit: fields.limit,
                active: fields.active,
                active_slots: 0,
                slot_decay_per_second: fields.slot_decay_per_second,
            };
            api.create_limit(&new).await?;
        }
        (Action::Change(changes), Some(tag)) => match to_send(changes) {
            LimitChanges { limit: Some(limit), active: None, .. } => {
                api.set_tag_limit(tag, limit).await?;
            }
            change => api.change_limit(name, &change).await?,
        },
        (Action::Change(changes), None) => api.change_limit(name, &to_send(changes)).await?,
        (Action::Delete, tag) => return deleted(api, name, tag).await,
        (Action::Keep(_) | Action::None, _) => {}
    }
    Ok(None)
}

/// Deletes a limit, unless slots of it were taken since the plan was made.
async fn deleted(api: &Api, name: &str, tag: Option<&str>) -> Result<Option<String>, Failure> {
    let held = match tag {
        Some(tag) => match api.tag_limit(tag).await? {
            Some(limit) => limit.active_slots.len() as u64,
            None => return Ok(None),
        },
        None => match api.limit(name).await? {
            Some(limit) if limit.slot_decay_per_second > 0.0 => 0,
            Some(limit) => limit.active_slots,
            None => return Ok(None),
        },
    };
    if held > 0 {
        return Ok(Some(format!("{held} of its slots were taken since the plan was made")));
    }
    found(match tag {
        Some(tag) => api.delete_tag_limit(tag).await,
        None => api.delete_limit(name).await,
    })?;
    Ok(None)
}
