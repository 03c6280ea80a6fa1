//! The subject of the current request: the limits and the lease in its commands.

use std::cell::RefCell;
use std::sync::Arc;

use leasehold_engine::{Acquired, Command, Hold, LeaseId, LimitRef, Outcome, Query};
use leasehold_node::Observer;

/// How many limits of one request are logged.
const LIMITS_MAX: usize = 8;

/// Notes the subject of the current request, if the request is logged.
pub(crate) const OBSERVER: Observer = Observer { command: note_command, outcome: note_outcome };

tokio::task_local! {
    /// The subject of the current request.
    pub(super) static SUBJECT: RefCell<Subject>;
}

#[derive(Default)]
pub(super) struct Subject {
    pub(super) limits: Vec<Arc<str>>,
    pub(super) lease: Option<LeaseId>,
}

fn note_command(command: &Command) {
    let _ = SUBJECT.try_with(|subject| subject.borrow_mut().note_command(command));
}

fn note_outcome(outcome: &Outcome) {
    if let Outcome::Acquired(Acquired::Granted(grant)) = outcome
        && let Some(lease) = &grant.lease
    {
        let _ = SUBJECT.try_with(|subject| subject.borrow_mut().lease = Some(lease.id));
    }
}

impl Subject {
    fn note_command(&mut self, command: &Command) {
        match command {
            Command::CreateLimit(create) => self.limit(&create.name),
            Command::PutTagLimit { name, .. } | Command::ResetTag { name, .. } => self.limit(name),
            Command::UpdateLimit { limit, .. }
            | Command::ResetLimit { limit, .. }
            | Command::DeleteLimit { limit, .. }
            | Command::Read(
                Query::Limit(limit, _) | Query::Leases(limit, _) | Query::Waiters(limit, _),
            ) => self.limit_ref(limit),
            Command::Acquire(acquire) => {
                acquire.wants.iter().for_each(|want| self.limit(&want.name));
                if let Hold::Holder { id, .. } = &acquire.hold {
                    self.lease = Some(*id);
                }
            }
            Command::GiveBack(give_back) => {
                give_back.names.iter().for_each(|name| self.limit(name));
            }
            Command::ReleaseTags { names, .. } => names.iter().for_each(|name| self.limit(name)),
            Command::Renew { lease, .. }
            | Command::Release { lease }
            | Command::Revoke { lease, .. }
            | Command::Read(Query::Lease(lease)) => self.lease = Some(*lease),
            _ => {}
        }
    }

    fn limit(&mut self, name: &Arc<str>) {
        if self.limits.len() < LIMITS_MAX && !self.limits.contains(name) {
            self.limits.push(name.clone());
        }
    }

    fn limit_ref(&mut self, limit: &LimitRef) {
        if let LimitRef::Name(name) = limit {
            self.limit(name);
        }
    }
}
