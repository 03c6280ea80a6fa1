//! The rules: what each command does to the ledger.
//!
//! `admission` decides which requests are granted slots, `waiting` and `serving` move the queue,
//! `leases` ends leases, `limits` and `tags` are the operators' commands, `foreign` is for limits
//! that move between this server and another one, `keys` recognises repeated requests, `stuck`
//! finds waits that cannot end, and `reads` answers queries.

mod admission;
mod foreign;
mod import;
mod keys;
mod leases;
mod limits;
mod reads;
mod serving;
mod stuck;
mod tags;
mod waiting;

use crate::command::Command;
use crate::event::Event;
use crate::lease::LeaseId;
use crate::ledger::Ledger;
use crate::outcome::{Answered, Outcome};
use crate::time::Timestamp;

/// What a step did.
#[derive(Debug)]
pub struct Step {
    /// The answer to the command.
    pub outcome: Outcome,
    /// The leases that expired before the command ran.
    pub expired: Vec<LeaseId>,
    /// The waiting requests that were answered.
    pub answered: Vec<Answered>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// How many waiters were looked at: the cost of the queue, independent of any clock.
    pub looks: usize,
}

impl Ledger {
    /// Runs a command at a point in time. Time never runs backwards: an earlier `now` counts as the
    /// latest one.
    pub fn step(&mut self, command: Command, now: Timestamp) -> Step {
        self.stepped_at = self.now.max(now);
        // A waiter that leaves does so before time passes: no slot that came free goes to it.
        let gone = self.remove_waiters(&command);
        let mut answered = Vec::new();
        let expired = self.pass_until(self.stepped_at, &mut answered);
        // The waiters were here before this command.
        answered.extend(self.serve_lines());
        let outcome = match command {
            Command::CreateLimit(create) => Outcome::Created(self.create_limit(create)),
            Command::PutTagLimit { id, name, slots } => {
                Outcome::Created(self.put_tag_limit(id, &name, slots))
            }
            Command::UpdateLimit { limit, patch } => {
                Outcome::Updated(self.update_limit(&limit, patch))
            }
            Command::ResetLimit { limit, slots, reason } => {
                Outcome::Updated(self.reset_limit(&limit, slots, reason.as_ref()))
            }
            Command::ResetTag { name, holders, reason } => {
                Outcome::Updated(self.reset_tag(&name, holders, reason.as_ref()))
            }
            Command::DeleteLimit { limit, scope } => {
                Outcome::Deleted(self.delete_limit(&limit, scope))
            }
            Command::Import(import) => Outcome::Imported(self.import(*import)),
            Command::Adopt(adopt) => Outcome::Created(self.adopt(adopt)),
            Command::SetForeign { limit, slots } => {
                Outcome::Updated(self.set_foreign(limit, slots))
            }
            Command::SetReturning { limit, returning } => {
                Outcome::Updated(self.set_returning(limit, returning))
            }
            Command::Pair { lease, partners } => Outcome::Paired(self.pair(lease, partners)),
            Command::Acquire(acquire) => Outcome::Acquired(self.acquire(acquire)),
            Command::GiveBack(give_back) => Outcome::GivenBack(self.give_back(&give_back)),
            Command::ReleaseTags { names, holder } => {
                Outcome::GivenBack(self.release_tags(&names, &holder))
            }
            Command::Renew { lease, ttl } => Outcome::Renewed(self.renew(lease, ttl)),
            Command::RenewMany { leases, ttl } => {
                Outcome::RenewedMany(self.renew_many(&leases, ttl))
            }
            Command::Release { lease } => Outcome::Ended(self.release(lease)),
            Command::TakeBack { lease } => Outcome::TakenBack(self.take_back(lease)),
            Command::Revoke { lease, reason, by } => Outcome::Ended(self.revoke(lease, reason, by)),
            Command::Repossess { holder, with_deadline, evidence } => {
                Outcome::Repossessed(self.repossess(&holder, with_deadline, &evidence))
            }
            Command::Identify { lease, identified } => {
                Outcome::Identified(self.identify(lease, identified))
            }
            Command::Read(query) => self.read(query),
            Command::Abandon(_) | Command::SendWaitersAway(_) => {
                self.emit_left(&gone);
                Outcome::Ticked
            }
            Command::Tick => Outcome::Ticked,
        };
        answered.extend(self.serve_lines());
        let (events, looks) = (std::mem::take(&mut self.events), self.queue.take_looks());
        Step { outcome, expired, answered, events, looks }
    }
}
