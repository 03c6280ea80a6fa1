//! Which parties wait for slots of which others: the search for deadlocks, apart from the ledger.

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::holder::Holder;
use crate::lease::LeaseId;
use crate::limit::LimitId;

/// What a party holds of a limit with one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) party: usize,
    pub(super) limit: LimitId,
    pub(super) slots: u64,
    pub(super) lease: LeaseId,
}

/// A waiting request of some parties, and the slots that it needs.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) parties: SmallVec<[usize; 1]>,
    pub(super) needs: SmallVec<[(LimitId, u64); 1]>,
}

/// Waiting requests, and what their parties hold of the limits that they wait for. The first
/// request is the one in question.
#[derive(Debug, Default)]
pub(super) struct Picture {
    numbers: FxHashMap<Holder, usize>,
    holders: Vec<Holder>,
    pub(super) waits: Vec<Wait>,
    held: FxHashMap<LimitId, Vec<Held>>,
    slots: FxHashMap<LimitId, u64>,
}

/// The parties that are stuck, and how many slots they hold of each limit.
struct Stuck {
    parties: Vec<bool>,
    slots: FxHashMap<LimitId, u64>,
}

impl Picture {
    pub(super) fn parties(&self) -> usize {
        self.holders.len()
    }

    pub(super) fn party(&self, number: usize) -> Option<&Holder> {
        self.holders.get(number)
    }

    pub(super) fn is_known(&self, party: &Holder) -> bool {
        self.numbers.contains_key(party)
    }

    /// The number of a party.
    pub(super) fn known_as(&mut self, party: &Holder) -> usize {
        if let Some(number) = self.numbers.get(party) {
            return *number;
        }
        let number = self.holders.len();
        self.holders.push(party.clone());
        self.numbers.insert(party.clone(), number);
        number
    }

    /// Adds a limit. Returns whether it is new.
    pub(super) fn add_limit(&mut self, limit: LimitId, slots: u64) -> bool {
        self.slots.insert(limit, slots).is_none()
    }

    pub(super) fn hold(&mut self, held: Held) {
        self.held.entry(held.limit).or_default().push(held);
    }

    pub(super) fn is_of_first(&self, party: usize) -> bool {
        self.waits.first().is_some_and(|wait| wait.parties.contains(&party))
    }

    /// The limits that a party waits for.
    pub(super) fn awaited_by(&self, party: usize) -> SmallVec<[LimitId; 1]> {
        let mut limits = SmallVec::new();
        for wait in self.waits.iter().filter(|wait| wait.parties.contains(&party)) {
            for (limit, _) in &wait.needs {
                if !limits.contains(limit) {
                    limits.push(*limit);
                }
            }
        }
        limits
    }

    /// What blocks the first request: slots of its own parties, or of parties that wait for these.
    /// Empty if it can be granted while all of them wait.
    pub(super) fn blocks_the_first(&self) -> Vec<Held> {
        let Some(first) = self.waits.first() else { return Vec::new() };
        let stuck = self.stuck();
        let leads = self.lead_to_first(&stuck);
        let lacking = first.needs.iter().filter(|need| self.lacks(**need, &stuck));
        let held = lacking.filter_map(|(limit, _)| self.held.get(limit)).flatten();
        held.filter(|held| stuck.parties[held.party] && leads[held.party]).copied().collect()
    }

    /// All waiting parties except those that can go on: a party can go on if it gets what it needs
    /// even if all stuck parties keep what they hold. That frees what it holds for the others.
    fn stuck(&self) -> Stuck {
        let mut parties = vec![false; self.holders.len()];
        for party in self.waits.iter().flat_map(|wait| &wait.parties) {
            parties[*party] = true;
        }
        loop {
            let mut slots = FxHashMap::default();
            for held in self.held.values().flatten().filter(|held| parties[held.party]) {
                *slots.entry(held.limit).or_insert(0_u64) += held.slots;
            }
            let stuck = Stuck { parties, slots };
            let can_go_on = |wait: &&Wait| {
                wait.parties.iter().any(|party| stuck.parties[*party])
                    && !wait.needs.iter().any(|need| self.lacks(*need, &stuck))
            };
            let free: Vec<_> =
                self.waits.iter().filter(can_go_on).flat_map(|wait| &wait.parties).collect();
            if free.is_empty() {
                return stuck;
            }
            parties = stuck.parties;
            for party in free {
                parties[*party] = false;
            }
        }
    }

    /// Whether a limit lacks slots as long as the stuck parties keep theirs.
    fn lacks(&self, (limit, wanted): (LimitId, u64), stuck: &Stuck) -> bool {
        let kept = stuck.slots.get(&limit).copied().unwrap_or(0);
        let slots = self.slots.get(&limit).copied().unwrap_or(0);
        kept > 0 && kept.saturating_add(wanted) > slots
    }

    /// The parties of the first request, and those that wait for them directly or through others.
    fn lead_to_first(&self, stuck: &Stuck) -> Vec<bool> {
        let mut leads: Vec<_> = (0..self.holders.len()).map(|it| self.is_of_first(it)).collect();
        loop {
            let held = self.held.values().flatten();
            let held = held.filter(|held| stuck.parties[held.party] && leads[held.party]);
            let limits: FxHashSet<LimitId> = held.map(|held| held.limit).collect();
            let leads_on = |wait: &&Wait| {
                wait.parties.iter().any(|party| !leads[*party])
                    && wait
                        .needs
                        .iter()
                        .any(|need| limits.contains(&need.0) && self.lacks(*need, stuck))
            };
            let found: Vec<_> =
                self.waits.iter().filter(leads_on).flat_map(|wait| &wait.parties).collect();
            if found.is_empty() {
                return leads;
            }
            for party in found {
                leads[*party] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Needs<'a> = &'a [(u128, u64)];

    /// `waits`: the parties of each request and its needs; the first is the one in question.
    /// `held`: party, limit and slots of the leases with the numbers 0, 1, ….
    fn check(
        slots: Needs<'_>,
        waits: &[(&[&str], Needs<'_>)],
        held: &[(&str, u128, u64)],
        expected: &[u128],
    ) {
        let party = |id: &str| Holder::new("process", id);
        let mut picture = Picture::default();
        for (parties, needs) in waits {
            let parties = parties.iter().map(|id| picture.known_as(&party(id))).collect();
            let needs = needs.iter().map(|(limit, slots)| (LimitId(*limit), *slots)).collect();
            picture.waits.push(Wait { parties, needs });
        }
        for (limit, slots) in slots {
            assert!(picture.add_limit(LimitId(*limit), *slots));
        }
        for (lease, (id, limit, slots)) in (0..).zip(held) {
            let party = picture.known_as(&party(id));
            let (limit, lease) = (LimitId(*limit), LeaseId(lease));
            picture.hold(Held { party, limit, slots: *slots, lease });
        }
        let mut found: Vec<_> =
            picture.blocks_the_first().into_iter().map(|held| held.lease.0).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_party_that_wants_what_it_holds_is_stuck_on_itself() {
        check(&[(1, 1)], &[(&["a"], &[(1, 1)])], &[("a", 1, 1)], &[0]);
    }

    #[test]
    fn a_task_that_wants_what_its_flow_run_holds_is_stuck() {
        check(&[(1, 1)], &[(&["task", "flow"], &[(1, 1)])], &[("flow", 1, 1)], &[0]);
    }

    #[test]
    fn a_party_that_could_get_another_slot_is_not_stuck() {
        check(&[(1, 2)], &[(&["a"], &[(1, 1)])], &[("a", 1, 1)], &[]);
        check(&[(1, 2)], &[(&["a"], &[(1, 2)])], &[("a", 1, 1)], &[0]);
    }

    #[test]
    fn two_parties_that_want_what_the_other_holds_are_stuck() {
        check(
            &[(1, 1), (2, 1)],
            &[(&["a"], &[(2, 1)]), (&["b"], &[(1, 1)])],
            &[("a", 1, 1), ("b", 2, 1)],
            &[1],
        );
    }

    #[test]
    fn three_parties_in_a_ring_are_stuck() {
        check(
            &[(1, 1), (2, 1), (3, 1)],
            &[(&["a"], &[(2, 1)]), (&["b"], &[(3, 1)]), (&["c"], &[(1, 1)])],
            &[("a", 1, 1), ("b", 2, 1), ("c", 3, 1)],
            &[1],
        );
    }

    #[test]
    fn a_ring_is_open_if_a_party_that_does_not_wait_holds_a_slot_in_it() {
        let waits: [(&[&str], Needs<'_>); 2] = [(&["a"], &[(2, 1)]), (&["b"], &[(1, 1)])];
        let held = [("a", 1, 1), ("b", 2, 1)];
        check(&[(1, 1), (2, 2)], &waits, &held, &[]);
        check(&[(1, 2), (2, 1)], &waits, &held, &[]);
        let with_c = [("a", 1, 1), ("b", 2, 1), ("c", 2, 1)];
        check(&[(1, 1), (2, 2)], &waits, &with_c, &[]);
        let waits: [(&[&str], Needs<'_>); 3] = [waits[0], waits[1], (&["c"], &[(1, 1)])];
        check(&[(1, 1), (2, 2)], &waits, &with_c, &[1, 2]);
    }

    #[test]
    fn a_party_that_waits_behind_a_ring_is_not_part_of_it() {
        let ring: [(&[&str], Needs<'_>); 3] =
            [(&["z"], &[(1, 1)]), (&["a"], &[(2, 1)]), (&["b"], &[(1, 1)])];
        check(&[(1, 1), (2, 1), (3, 1)], &ring, &[("a", 1, 1), ("b", 2, 1), ("z", 3, 1)], &[]);
    }

    #[test]
    fn a_party_with_another_request_that_can_be_granted_is_not_stuck() {
        check(
            &[(1, 1), (2, 1), (3, 1)],
            &[(&["a"], &[(2, 1)]), (&["b"], &[(1, 1)]), (&["b"], &[(3, 1)])],
            &[("a", 1, 1), ("b", 2, 1)],
            &[],
        );
    }
}
