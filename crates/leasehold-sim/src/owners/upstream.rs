//! A model of a Prefect server: for each limit a count, and apart from it leases, which a sweep
//! ends. The two are written one after the other, so a crash in between leaves a phantom: a slot
//! that is counted and that no lease holds. Leases survive a restart.

use std::collections::BTreeMap;

use super::wire::{Ask, LIMITS, LimitNo, Said, UPSTREAM_FIRST};

pub(crate) struct Upstream {
    pub(crate) is_up: bool,
    /// Counts its starts.
    pub(crate) life: u64,
    counts: Vec<u64>,
    leases: BTreeMap<u64, Lease>,
    /// Requests whose slots are counted and whose lease is not written yet.
    half: BTreeMap<u64, Lease>,
    phantoms: Vec<u64>,
    leases_made: u64,
    /// What was given back and was not taken.
    pub(crate) faults: Vec<String>,
}

#[derive(Clone)]
struct Lease {
    limits: Vec<LimitNo>,
    slots: u64,
    until: u64,
}

/// What became of a request.
pub(crate) enum Handled {
    Said(Said),
    /// Its slots are counted. Its lease is written next, by [`Upstream::write_lease`].
    Half,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        Self {
            is_up: true,
            life: 0,
            counts: vec![0; LIMITS.len()],
            leases: BTreeMap::new(),
            half: BTreeMap::new(),
            phantoms: vec![0; LIMITS.len()],
            leases_made: UPSTREAM_FIRST,
            faults: Vec::new(),
        }
    }

    pub(crate) fn count(&self, limit: LimitNo) -> u64 {
        self.counts[limit]
    }

    pub(crate) fn phantoms(&self, limit: LimitNo) -> u64 {
        self.phantoms[limit]
    }

    pub(crate) fn lease_count(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn handle(&mut self, call: u64, ask: &Ask, now: u64) -> Handled {
        match ask {
            Ask::Acquire { limits, slots, ttl } => {
                let fits = |limit: &LimitNo| self.counts[*limit] + slots <= LIMITS[*limit].1;
                if !limits.iter().all(fits) {
                    return Handled::Said(Said::Refused);
                }
                limits.iter().for_each(|limit| self.counts[*limit] += slots);
                let (limits, slots, until) = (limits.clone(), *slots, now + ttl);
                self.half.insert(call, Lease { limits, slots, until });
                Handled::Half
            }
            Ask::Renew { lease, ttl } => match self.leases.get_mut(lease) {
                Some(lease) if lease.until > now => {
                    lease.until = now + ttl;
                    Handled::Said(Said::Done)
                }
                _ => Handled::Said(Said::Gone),
            },
            Ask::Release { lease } => {
                // Silent about leases that it does not know.
                if let Some(lease) = self.leases.remove(lease) {
                    self.uncount(&lease);
                }
                Handled::Said(Said::Done)
            }
            Ask::GiveBack { limit, slots } => {
                if self.phantoms[*limit] < *slots {
                    let there = self.phantoms[*limit];
                    self.fault(*limit, &format!("{slots} of {there} phantoms were given back"));
                }
                self.phantoms[*limit] = self.phantoms[*limit].saturating_sub(*slots);
                self.counts[*limit] = self.counts[*limit].saturating_sub(*slots);
                Handled::Said(Said::Done)
            }
            Ask::Counts => Handled::Said(Said::Counts(self.counts.clone())),
        }
    }

    /// Writes the lease of a request that was counted. Returns its id.
    pub(crate) fn write_lease(&mut self, call: u64) -> Option<u64> {
        let lease = self.half.remove(&call)?;
        self.leases_made += 1;
        self.leases.insert(self.leases_made, lease);
        Some(self.leases_made)
    }

    /// Ends the leases whose time is over.
    pub(crate) fn sweep(&mut self, now: u64) {
        let over: Vec<_> =
            self.leases.iter().filter(|(_, it)| it.until <= now).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(lease) = self.leases.remove(&id) {
                self.uncount(&lease);
            }
        }
    }

    /// Stops. What is half done stays counted.
    pub(crate) fn stop(&mut self) {
        self.is_up = false;
        self.life += 1;
        for lease in std::mem::take(&mut self.half).into_values() {
            lease.limits.iter().for_each(|limit| self.phantoms[*limit] += lease.slots);
        }
    }

    fn uncount(&mut self, lease: &Lease) {
        for limit in &lease.limits {
            if self.counts[*limit] < lease.slots {
                self.fault(*limit, "a slot was given back twice");
            }
            self.counts[*limit] = self.counts[*limit].saturating_sub(lease.slots);
        }
    }

    fn fault(&mut self, limit: LimitNo, what: &str) {
        self.faults.push(format!("the upstream's count of {}: {what}", LIMITS[limit].0));
    }
}
