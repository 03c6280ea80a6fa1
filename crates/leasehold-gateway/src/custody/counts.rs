//! What a reading of the upstream's counts decides.

use leasehold_engine::LimitId;
use rustc_hash::FxHashMap;

use super::{Act, Custody, Entry, Stage};
use crate::counting::{Count, Counting};
use crate::phase::Failure;

impl Custody {
    /// Begins a reading of the upstream's counts. Call it before the upstream is asked. `None`:
    /// one is under way, and a second could overtake it.
    pub fn begin_count(&mut self) -> Option<Counting> {
        if self.counting.is_some() {
            return None;
        }
        let busy: Vec<_> = self.passages.values().flatten().cloned().collect();
        for (name, entry) in &mut self.limits {
            entry.covers.begin();
            entry.is_ready = matches!(entry.stage, Stage::Holding { .. }) && !busy.contains(name);
        }
        self.next += 1;
        self.counting = Some(self.next);
        Some(Counting(self.next))
    }

    /// The upstream did not say its counts.
    pub fn count_failed(&mut self, counting: &Counting) {
        if self.counting == Some(counting.0) {
            self.counting = None;
        }
    }

    /// The upstream has these counts. A limit that is not among them does not exist there.
    #[expect(clippy::needless_pass_by_value, reason = "a reading is used once")]
    pub fn counted(&mut self, counting: Counting, counts: &FxHashMap<LimitId, Count>) -> Vec<Act> {
        if self.counting.take() != Some(counting.0) {
            return Vec::new();
        }
        let mut acts = Vec::new();
        for (name, entry) in &mut self.limits {
            let count = counts.get(&entry.id).copied();
            match entry.stage {
                Stage::Ours => {
                    let act = entry.foreign_is(count).map(|(slots, rose)| Act::SetForeign {
                        limit: name.clone(),
                        slots,
                        rose,
                    });
                    acts.extend(act);
                }
                Stage::Holding { .. } if entry.is_ready => entry.take_over(count),
                _ => {}
            }
        }
        acts.sort_by(|a, b| a.limit().cmp(b.limit()));
        acts
    }

    /// The upstream is about to be asked for slots that a lease of ours holds too.
    pub fn cover_asked(&mut self, limit: &str, slots: u64) {
        self.on_covers(limit, |entry| entry.covers.asked(slots));
    }

    /// The upstream counts them, and the ledger knows.
    pub fn cover_taken(&mut self, limit: &str, slots: u64) {
        self.on_covers(limit, |entry| entry.covers.taken(slots));
    }

    /// The upstream is about to be asked to give back slots that it counts for a lease of ours.
    pub fn cover_leaves(&mut self, limit: &str, slots: u64) {
        self.on_covers(limit, |entry| entry.covers.leaves(slots));
    }

    /// The upstream has answered: it does not count them.
    pub fn cover_over(&mut self, limit: &str, slots: u64) {
        self.on_covers(limit, |entry| entry.covers.over(slots));
    }

    fn on_covers(&mut self, limit: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.limits.get_mut(limit) {
            change(entry);
        }
    }

    /// An operator drops phantoms: slots that the upstream counts and nobody holds. Returns the act
    /// that frees them here. The upstream goes on counting them until the way back.
    pub fn drop_phantoms(&mut self, limit: &str, slots: u64) -> Option<Act> {
        let entry = self.limits.get_mut(limit).filter(|entry| entry.stage == Stage::Ours)?;
        let foreign = entry.foreign?;
        let slots = slots.min(foreign);
        entry.dropped += slots;
        entry.foreign = Some(foreign - slots);
        Some(Act::SetForeign { limit: limit.into(), slots: foreign - slots, rose: 0 })
    }

    /// The upstream is about to be asked to count so many phantoms no longer. Nobody asks twice: if
    /// the answer is lost, they count as slots of others again.
    pub fn phantoms_given_back(&mut self, limit: &str, slots: u64) {
        self.on_covers(limit, |entry| entry.dropped = entry.dropped.saturating_sub(slots));
    }

    /// The upstream was not asked, and counts so many phantoms as before.
    pub fn phantoms_stayed(&mut self, limit: &str, slots: u64) {
        self.on_covers(limit, |entry| entry.dropped += slots);
    }
}

impl Entry {
    /// The new number of foreign slots, if it changes, and by how many it rose.
    fn foreign_is(&mut self, count: Option<Count>) -> Option<(u64, u64)> {
        // A limit that is gone there counts nothing there.
        let others = match count {
            Some(Count { drains: false, taken }) => self.covers.of_others(taken),
            Some(Count { drains: true, .. }) | None => 0,
        };
        // An operator may have reset the limit there, phantoms included.
        self.dropped = self.dropped.min(others);
        let foreign = others - self.dropped;
        let Some(was) = self.foreign else {
            self.foreign = Some(foreign);
            return Some((foreign, 0));
        };
        // It may be a slot of ours about which a request was under way.
        if foreign > was && foreign <= was + self.covers.doubt() {
            return None;
        }
        self.foreign = Some(foreign);
        (foreign != was).then_some((foreign, foreign.saturating_sub(was)))
    }

    /// Everything has come back, and this is the count: from here on the upstream does not grant.
    fn take_over(&mut self, count: Option<Count>) {
        let Stage::Holding { from, .. } = self.stage else { return };
        let Some(Count { taken, drains }) = count else {
            return self.fail(from.stage(), Failure::Gone);
        };
        let (foreign, level) = if drains { (0, taken) } else { (self.covers.of_others(taken), 0) };
        self.stage = Stage::Adopting { from, foreign, level };
    }
}
