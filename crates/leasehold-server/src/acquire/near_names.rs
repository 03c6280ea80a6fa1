//! Limits that were asked for and do not exist, beside others that are meant: `tag:ocr` where the
//! limit is called `ocr`, or the other way round, or with other capitals. Such a request is granted
//! and limits nothing (contract C10). Its client is answered as the contract has it; the log says
//! it once for each name.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use leasehold_engine::{Command, Grant, Outcome, Query, Span, Timestamp, Want};
use leasehold_node::Answer;
use leasehold_records::EventRow;

use crate::app::App;
use crate::ids;

/// How long a name is not looked for again.
const PERIOD: Span = Span::from_seconds(60);
/// More names are not looked for in one period.
const NAMES_MAX: usize = 1_024;

/// Which names were looked for lately.
#[derive(Debug, Default)]
pub(crate) struct Twins(Mutex<Lately>);

#[derive(Debug, Default)]
struct Lately {
    names: HashSet<Arc<str>>,
    until: Timestamp,
}

impl Twins {
    /// Whether a name is to be looked for now.
    fn is_due(&self, name: &Arc<str>, now: Timestamp) -> bool {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.until <= now {
            *lately = Lately { names: HashSet::new(), until: now + PERIOD };
        }
        lately.names.len() < NAMES_MAX && lately.names.insert(name.clone())
    }
}

/// Looks, behind the answer, for the limits that were meant by the names that no limit has.
pub(crate) fn look_for(app: &App, wants: &[Want], grant: &Grant) {
    if grant.limits.len() >= wants.len() {
        return;
    }
    let now = app.ledger().clock().now();
    let is_there = |want: &&Want| grant.limits.iter().any(|limit| limit.name == want.name);
    let missing = wants.iter().filter(|want| !is_there(want)).map(|want| want.name.clone());
    let due: Vec<_> = missing.filter(|name| app.twins().is_due(name, now)).collect();
    if !due.is_empty() {
        let app = app.clone();
        tokio::spawn(async move { tell(&app, due).await });
    }
}

async fn tell(app: &App, names: Vec<Arc<str>>) {
    let read = app.ledger().send(Command::Read(Query::Near(names))).await;
    let Ok(Outcome::Near(pairs)) = read.map(Answer::keep) else { return };
    let now = app.ledger().clock().now();
    for (asked, near) in pairs {
        if !app.notices().is_new(("limit.missing", &*asked), now) {
            continue;
        }
        tracing::warn!(
            limit = %asked.escape_debug(),
            near = %near.escape_debug(),
            "a limit that does not exist was asked for, which limits nothing. A limit with nearly \
             this name exists: check which one is meant."
        );
        let Some(log) = app.event_log() else { continue };
        let reason =
            format!("it was asked for and does not exist, so nothing is limited; '{near}' exists");
        log.note_ours(EventRow {
            limit: Some(asked.to_string()),
            reason: Some(reason),
            ..EventRow::new(ids::at(now.as_micros()), "limit.missing", now.as_micros())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_once_in_a_while_and_a_flood_of_names_is_bounded() {
        let twins = Twins::default();
        let at = |seconds| Timestamp::from_micros(1) + Span::from_seconds(seconds);
        let name = |number: usize| Arc::from(number.to_string());
        assert!(twins.is_due(&name(0), at(0)));
        assert!(!twins.is_due(&name(0), at(59)));
        let due = (0..10_000).filter(|number| twins.is_due(&name(*number), at(59))).count();
        assert_eq!(due, NAMES_MAX - 1);
        assert!(twins.is_due(&name(0), at(60)));
    }
}
