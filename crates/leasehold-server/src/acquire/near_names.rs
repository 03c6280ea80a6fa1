//! Requests for limits that do not exist although a limit of nearly the same name does: `tag:ocr`
//! where the limit is `ocr`, or the other way round, or with other capitals. Such a request is
//! granted and limits nothing, as contract C10 demands. The log warns once for each name.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use leasehold_engine::{Grant, Span, Timestamp, Want};
use leasehold_node::{Handle, Notices};
use leasehold_records::EventRow;

use crate::event_log::EventLog;
use crate::ids;

/// How often a name is looked up at most.
const PERIOD: Span = Span::from_seconds(60);
/// How many names are looked up in one period at most.
const NAMES_MAX: usize = 1_024;

/// Finds the limits whose names are near, and warns of them.
#[derive(Clone, Debug)]
pub(crate) struct NearNames(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ledger: Handle,
    event_log: Option<EventLog>,
    recent: Recent,
    warned: Notices,
}

/// The names that were looked up in the current period.
#[derive(Debug, Default)]
struct Recent(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    names: HashSet<Arc<str>>,
    until: Timestamp,
}

impl Recent {
    /// Whether to look a name up now.
    fn is_due(&self, name: &Arc<str>, now: Timestamp) -> bool {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.until <= now {
            *names = Names { names: HashSet::new(), until: now + PERIOD };
        }
        names.names.len() < NAMES_MAX && names.names.insert(name.clone())
    }
}

impl NearNames {
    pub(crate) fn new(ledger: Handle, event_log: Option<EventLog>) -> Self {
        let (recent, warned) = (Recent::default(), Notices::default());
        Self(Arc::new(Inner { ledger, event_log, recent, warned }))
    }

    /// Looks up the wanted names for which the grant has no limit. The request does not wait for
    /// this.
    pub(crate) fn look_up(&self, wants: &[Want], grant: &Grant) {
        if grant.limits.len() >= wants.len() {
            return;
        }
        let now = self.0.ledger.clock().now();
        let exists = |want: &&Want| grant.limits.iter().any(|limit| limit.name == want.name);
        let missing = wants.iter().filter(|want| !exists(want)).map(|want| want.name.clone());
        let due: Vec<_> = missing.filter(|name| self.0.recent.is_due(name, now)).collect();
        if !due.is_empty() {
            let inner = self.0.clone();
            tokio::spawn(async move { inner.warn(due).await });
        }
    }
}

impl Inner {
    async fn warn(&self, names: Vec<Arc<str>>) {
        let Ok(pairs) = self.ledger.near(names).await else { return };
        let now = self.ledger.clock().now();
        for (asked, near) in pairs {
            if !self.warned.is_new(&*asked, now) {
                continue;
            }
            tracing::warn!(
                limit = %asked.escape_debug(),
                near = %near.escape_debug(),
                "a limit that does not exist was asked for, which limits nothing. A limit with \
                 nearly this name exists: check which one is meant."
            );
            let Some(log) = &self.event_log else { continue };
            let reason = format!(
                "it was asked for and does not exist, so nothing is limited; '{near}' exists"
            );
            log.note_ours(EventRow {
                limit: Some(asked.to_string()),
                reason: Some(reason),
                ..EventRow::new(ids::at(now.as_micros()), "limit.missing", now.as_micros())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_once_a_period_and_a_flood_of_names_is_bounded() {
        let recent = Recent::default();
        let at = |seconds| Timestamp::from_micros(1) + Span::from_seconds(seconds);
        let name = |number: usize| Arc::from(number.to_string());
        assert!(recent.is_due(&name(0), at(0)));
        assert!(!recent.is_due(&name(0), at(59)));
        let due = (0..10_000).filter(|number| recent.is_due(&name(*number), at(59))).count();
        assert_eq!(due, NAMES_MAX - 1);
        assert!(recent.is_due(&name(0), at(60)));
    }
}
