//! What the naive ledger does with a request for slots: one question after the other, each over all
//! its limits.

use leasehold_engine::{Acquire, Hold, Missing, Mode, Notes};

use super::limit::{By, SLOT};
use super::{Held, Lease, Model, micros};

/// A limit that is wanted: its id, its name, and how many slots.
type Wanted = (u128, String, i128);

impl Model {
    pub(super) fn acquire(&mut self, acquire: &Acquire) -> String {
        let ids = self.named(acquire.wants.iter().map(|want| &*want.name));
        let on = self.names(&ids);
        if let Some(answer) = self.answered(acquire, &on) {
            return answer;
        }
        let wanted = self.wanted(acquire, &ids);
        let why_not = self
            .elsewhere(acquire, &ids)
            .or_else(|| self.missing(acquire))
            .or_else(|| self.never(acquire, &wanted))
            .or_else(|| self.blocked(&wanted));
        why_not.unwrap_or_else(|| self.grant(acquire, wanted, &on))
    }

    /// The answer to a request whose lease is there already, or whose key was used before.
    fn answered(&self, acquire: &Acquire, on: &[String]) -> Option<String> {
        let id = lease_id(acquire)?;
        if let Some(answer) = self.answered_before(id, notes(acquire)) {
            return Some(answer);
        }
        let lease = self.leases.iter().find(|lease| lease.id == id)?;
        Some(format!("granted {} until {:?} on {on:?}", lease.fence, lease.deadline))
    }

    /// The answer to a request whose key was used before.
    fn answered_before(&self, id: u128, notes: Option<&Notes>) -> Option<String> {
        let request = notes?.request?;
        match self.leases.iter().find(|lease| lease.id == id) {
            Some(lease) if lease.notes.as_ref().is_some_and(|n| n.request == Some(request)) => {
                Some(format!("lease {} until {:?}", lease.fence, lease.deadline))
            }
            Some(_) => Some("another request".to_owned()),
            None => self.endings.iter().any(|(ended, _)| *ended == id).then(|| self.gone(id)),
        }
    }

    /// Whether the holder of this request has a slot of the limit.
    fn is_held(&self, acquire: &Acquire, limit: u128) -> bool {
        match &acquire.hold {
            Hold::Holder { holder, .. } => self.holds(&holder.id, limit),
            _ => false,
        }
    }

    fn elsewhere(&mut self, acquire: &Acquire, ids: &[u128]) -> Option<String> {
        let mut returning = Vec::new();
        for id in ids {
            let held = self.is_held(acquire, *id);
            let limit = self.limit(*id);
            if limit.returning && !held {
                returning.push(limit.name.clone());
            }
        }
        (!returning.is_empty()).then(|| format!("elsewhere {returning:?}"))
    }

    fn missing(&self, acquire: &Acquire) -> Option<String> {
        let names = acquire.wants.iter().map(|want| want.name.to_string());
        let missing: Vec<_> =
            names.filter(|name| self.limits.iter().all(|limit| limit.name != *name)).collect();
        let is_refused = acquire.missing == Missing::Refuse && !missing.is_empty();
        is_refused.then(|| format!("missing {missing:?}"))
    }

    /// What has to be taken: slots of active limits that the holder does not have.
    fn wanted(&mut self, acquire: &Acquire, ids: &[u128]) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for id in ids {
            if self.limit(*id).active && !self.is_held(acquire, *id) {
                let name = self.limit(*id).name.clone();
                let want = acquire.wants.iter().find(|want| *want.name == *name).unwrap();
                wanted.push((*id, name, i128::from(want.slots)));
            }
        }
        wanted
    }

    /// Why this can never be granted.
    fn never(&mut self, acquire: &Acquire, wanted: &[Wanted]) -> Option<String> {
        for (id, name, slots) in wanted {
            if *slots > self.limit(*id).slots {
                return Some(format!("too many slots on {name}"));
            }
        }
        if acquire.mode != Mode::RateLimit {
            return None;
        }
        let mut without = wanted.to_vec();
        without.retain(|(id, ..)| self.limit(*id).nanos_per_second == 0);
        let names: Vec<_> = without.into_iter().map(|(_, name, _)| name).collect();
        (!names.is_empty()).then(|| format!("no rate limits {names:?}"))
    }

    /// Which limits are too full now, and what each waits for.
    fn blocked(&mut self, wanted: &[Wanted]) -> Option<String> {
        let mut blockers = Vec::new();
        for (id, name, slots) in wanted {
            let excess = self.level(*id) + (slots - self.limit(*id).slots) * SLOT;
            let drains = self.level(*id) - self.limit(*id).foreign * SLOT;
            if excess > 0 {
                let wait = match self.limit(*id).nanos_per_second {
                    0 => "a release".to_owned(),
                    _ if excess > drains => "a release".to_owned(),
                    nanos => format!("{} µs", (excess + nanos - 1) / nanos),
                };
                blockers.push(format!("{name} for {wait}"));
            }
        }
        (!blockers.is_empty()).then(|| format!("refused by {blockers:?}"))
    }

    fn grant(&mut self, acquire: &Acquire, wanted: Vec<Wanted>, on: &[String]) -> String {
        let mut holdings: Vec<_> = wanted
            .into_iter()
            .map(|(limit, _, slots)| Held { limit, slots, level: slots * SLOT })
            .collect();
        let deadline = match &acquire.hold {
            Hold::Lease { ttl, .. } => Some(self.now + micros(*ttl)),
            _ => None,
        };
        let holder = match &acquire.hold {
            Hold::Lease { holder, .. } => holder.as_ref(),
            Hold::Holder { holder, .. } => Some(holder),
            Hold::Unleased => {
                let by = match acquire.mode {
                    Mode::Concurrency => By::Increment,
                    Mode::RateLimit => By::Rate,
                };
                for held in holdings.drain(..) {
                    self.limit(held.limit).gain(by, held.level);
                }
                None
            }
        };
        let holder = holder.map(|holder| holder.id.to_string());
        match lease_id(acquire) {
            Some(id) if !holdings.is_empty() => {
                let fence = self.lease_out(id, holder, holdings, deadline);
                self.leases.last_mut().unwrap().notes = notes(acquire).cloned();
                format!("granted {fence} until {deadline:?} on {on:?}")
            }
            _ => format!("granted nothing on {on:?}"),
        }
    }

    pub(super) fn lease_out(
        &mut self,
        id: u128,
        holder: Option<String>,
        holdings: Vec<Held>,
        deadline: Option<i128>,
    ) -> u64 {
        self.endings.retain(|(lease, _)| *lease != id);
        self.fences += 1;
        let (fence, notes, partners) = (self.fences, None, Vec::new());
        self.leases.push(Lease { id, fence, holder, deadline, holdings, notes, partners });
        self.fences
    }
}

/// The id of the lease that would be made.
fn lease_id(acquire: &Acquire) -> Option<u128> {
    match &acquire.hold {
        Hold::Lease { id, .. } | Hold::Holder { id, .. } => Some(id.0),
        Hold::Unleased => None,
    }
}

fn notes(acquire: &Acquire) -> Option<&Notes> {
    match &acquire.hold {
        Hold::Lease { notes, .. } => notes.as_deref(),
        _ => None,
    }
}
