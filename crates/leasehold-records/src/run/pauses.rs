//! Which pauses a flow run has seen, in its policy.

use serde_json::{Map, Value};

use super::Run;
use crate::state::{State, StateType};

/// Adds a pause to the flow run's policy, where clients look for the pauses that it has seen.
pub(super) fn remember(run: &mut Run, was: Option<&State>, entered: &State) {
    let was_over = was.is_some_and(|was| was.kind.is_terminal());
    let is_retry = entered.kind == StateType::Scheduled && entered.name == "AwaitingRetry";
    if (was_over && !entered.kind.is_terminal()) || is_retry {
        // The flow runs from its beginning and pauses again.
        if let Some(policy) = policy(run).filter(|policy| policy.contains_key("pause_keys")) {
            policy.insert("pause_keys".to_owned(), Value::Array(Vec::new()));
            policy.insert("resuming".to_owned(), false.into());
        }
    } else if entered.kind == StateType::Paused {
        let Some(key) = key_of(entered).map(str::to_owned) else { return };
        let mut known: Vec<_> = keys(run).map(str::to_owned).collect();
        known.push(key);
        if let Some(policy) = policy(run) {
            policy.insert("pause_keys".to_owned(), known.into());
        }
    } else if was.is_some_and(|was| was.kind == StateType::Paused)
        && let Some(policy) = policy(run)
    {
        policy.insert("resuming".to_owned(), true.into());
    }
}

/// The key of a pause.
pub(crate) fn key_of(paused: &State) -> Option<&str> {
    paused.details.get("pause_key").and_then(Value::as_str)
}

/// The keys of the pauses that a flow run has seen.
pub(crate) fn keys(run: &Run) -> impl Iterator<Item = &str> {
    let policy = run.details.get("empirical_policy");
    let keys = policy.and_then(|policy| policy.get("pause_keys")?.as_array());
    keys.into_iter().flatten().filter_map(Value::as_str)
}

fn policy(run: &mut Run) -> Option<&mut Map<String, Value>> {
    let policy = run.details.entry("empirical_policy").or_insert_with(|| Map::new().into());
    if policy.is_null() {
        *policy = Map::new().into();
    }
    policy.as_object_mut()
}
