//! A model of a Prefect server: for each limit a count, and apart from it leases, which a sweep
//! ends. The two are written one after the other, so a crash in between leaves a phantom: a slot
//! that is counted and that no lease holds. Leases survive a restart, or are kept in memory alone:
//! then all of them leave phantoms.

use std::collections::BTreeMap;

use super::wire::{Ask, COVER_TTL, LIMITS, LimitNo, Said, UPSTREAM_FIRST};

pub(crate) struct Upstream {
    pub(crate) is_up: bool,
    /// Counts its starts.
    pub(crate) life: u64,
    counts: Vec<u64>,
    leases: BTreeMap<u64, Lease>,
    /// Requests whose slots are counted and whose lease is not written yet.
    half: BTreeMap<u64, Lease>,
    /// Of each limit: slots that are counted and that nobody will give back, with their ages.
    phantoms: Vec<Vec<(u64, u64)>>,
    /// Slots of covers whose leases were lost. The gateway may still give them back.
    lost_covers: Vec<u64>,
    /// Leases are kept in memory alone.
    forgets: bool,
    leases_made: u64,
    /// What was given back and was not taken.
    pub(crate) faults: Vec<String>,
}

#[derive(Clone)]
struct Lease {
    limits: Vec<LimitNo>,
    slots: u64,
    until: u64,
    is_cover: bool,
}

/// What became of a request.
pub(crate) enum Handled {
    Said(Said),
    /// Its slots are counted. Its lease is written next, by [`Upstream::write_lease`].
    Half,
}

impl Upstream {
    pub(crate) fn new(forgets: bool) -> Self {
        Self {
            is_up: true,
            life: 0,
            counts: vec![0; LIMITS.len()],
            leases: BTreeMap::new(),
            half: BTreeMap::new(),
            phantoms: vec![Vec::new(); LIMITS.len()],
            lost_covers: vec![0; LIMITS.len()],
            forgets,
            leases_made: UPSTREAM_FIRST,
            faults: Vec::new(),
        }
    }

    pub(crate) fn count(&self, limit: LimitNo) -> u64 {
        self.counts[limit]
    }

    /// The slots that are counted and that no lease holds.
    pub(crate) fn unheld(&self, limit: LimitNo) -> u64 {
        self.phantoms(limit, u64::MAX) + self.lost_covers[limit]
    }

    /// The phantoms that have been there since before this time.
    pub(crate) fn phantoms(&self, limit: LimitNo, before: u64) -> u64 {
        self.phantoms[limit].iter().filter(|(since, _)| *since < before).map(|(_, n)| n).sum()
    }

    pub(crate) fn forgets(&self) -> bool {
        self.forgets
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
                let is_cover = *ttl == COVER_TTL;
                self.half.insert(call, Lease { limits, slots, until, is_cover });
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
            Ask::GiveBack { limit, slots, is_cover } => {
                self.give_back(*limit, *slots, *is_cover);
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
    pub(crate) fn stop(&mut self, now: u64) {
        self.is_up = false;
        self.life += 1;
        let half = std::mem::take(&mut self.half).into_values();
        half.for_each(|lease| self.lose(Lease { is_cover: false, ..lease }, now));
        if self.forgets {
            let leases = std::mem::take(&mut self.leases).into_values();
            leases.for_each(|lease| self.lose(lease, now));
        }
    }

    fn lose(&mut self, lease: Lease, now: u64) {
        for limit in lease.limits {
            if lease.is_cover {
                self.lost_covers[limit] += lease.slots;
            } else {
                self.phantoms[limit].push((now, lease.slots));
            }
        }
    }

    fn give_back(&mut self, limit: LimitNo, slots: u64, is_cover: bool) {
        let there = if is_cover { self.lost_covers[limit] } else { self.phantoms(limit, u64::MAX) };
        if there < slots {
            let what = if is_cover { "lost covers" } else { "phantoms" };
            self.fault(limit, &format!("{slots} of {there} {what} were given back"));
        }
        let mut left = slots.min(there);
        self.counts[limit] = self.counts[limit].saturating_sub(slots);
        if is_cover {
            self.lost_covers[limit] -= left;
            return;
        }
        for (_, slots) in &mut self.phantoms[limit] {
            let gone = left.min(*slots);
            *slots -= gone;
            left -= gone;
        }
        self.phantoms[limit].retain(|(_, slots)| *slots > 0);
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
