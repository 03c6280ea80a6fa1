//! The line of one limit: who is before whom, who was overtaken, and who wants how much.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::SubAssign;

use super::{OVERTAKES_MAX, Ticket};
use crate::time::Timestamp;

/// Everybody who waits for one limit.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) order: BTreeSet<(Reverse<i32>, Ticket)>,
    /// Of `order`, the first of those who want the same.
    pub(super) firsts: BTreeSet<(Reverse<i32>, Ticket)>,
    /// How many of `order` there are in each block of tickets, so that a position in a long
    /// line need not be counted one by one.
    blocks: BTreeMap<(Reverse<i32>, u64), usize>,
    /// By age, each with what `overtakes` was when it joined, or whoever is behind it. So the
    /// numbers rise with the tickets, and those overtaken most stand first.
    patient: BTreeMap<Ticket, u64>,
    /// Overtaken too often: so many slots are kept for each of them, the oldest first.
    starving: BTreeMap<Ticket, u64>,
    /// What is kept for all in each block of tickets.
    starving_blocks: BTreeMap<u64, u128>,
    /// All that is kept.
    starving_slots: u128,
    /// How many grants there were here while somebody older waited.
    pub(super) overtakes: u64,
    /// How many want how many slots.
    pub(super) sizes: BTreeMap<u64, usize>,
    pub(super) alarm: Option<Timestamp>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            firsts: BTreeSet::new(),
            blocks: BTreeMap::new(),
            patient: BTreeMap::new(),
            starving: BTreeMap::new(),
            starving_blocks: BTreeMap::new(),
            starving_slots: 0,
            // So that whoever comes back has been overtaken before by no more than this.
            overtakes: OVERTAKES_MAX,
            sizes: BTreeMap::new(),
            alarm: None,
        }
    }
}

impl Line {
    const BLOCK: u64 = 256;

    fn block(ticket: Ticket) -> u64 {
        ticket.0 / Self::BLOCK
    }

    fn first_of(block: u64) -> Ticket {
        Ticket(block * Self::BLOCK)
    }

    /// Somebody joins who wants so many slots, and was overtaken so often before.
    pub(super) fn insert(&mut self, priority: i32, (ticket, overtaken): (Ticket, u64), slots: u64) {
        self.order.insert((Reverse(priority), ticket));
        *self.blocks.entry((Reverse(priority), Self::block(ticket))).or_default() += 1;
        *self.sizes.entry(slots).or_default() += 1;
        if overtaken >= OVERTAKES_MAX {
            self.keep(ticket, slots);
            return;
        }
        // Who comes back to an old place counts as overtaken like whoever came next: behind one
        // that begins to count anew, others would starve unseen. And so do those before it.
        let own = self.overtakes - overtaken;
        let behind = self.patient.range(ticket..).next();
        let joined = behind.map_or(own, |(_, joined)| own.min(*joined));
        let before = self.patient.range_mut(..ticket).rev();
        before.take_while(|(_, before)| **before > joined).for_each(|(_, before)| *before = joined);
        self.patient.insert(ticket, joined);
    }

    /// Somebody leaves who joined with the same.
    pub(super) fn remove(&mut self, priority: i32, ticket: Ticket, slots: u64) {
        self.order.remove(&(Reverse(priority), ticket));
        take(&mut self.blocks, (Reverse(priority), Self::block(ticket)), 1);
        self.patient.remove(&ticket);
        self.keep_no_longer(ticket);
        take(&mut self.sizes, slots, 1);
    }

    /// How often somebody in line has been overtaken.
    pub(super) fn overtaken(&self, ticket: Ticket) -> u64 {
        let joined = self.patient.get(&ticket);
        joined.map_or(OVERTAKES_MAX, |joined| self.overtakes - joined)
    }

    /// Those that have been overtaken too often.
    pub(super) fn overtaken_too_often(&self) -> impl Iterator<Item = Ticket> {
        let patient = self.patient.iter();
        patient
            .take_while(|(_, joined)| self.overtakes - **joined >= OVERTAKES_MAX)
            .map(|(ticket, _)| *ticket)
    }

    /// Somebody starves from now on.
    pub(super) fn starve(&mut self, ticket: Ticket, slots: u64) {
        if self.patient.remove(&ticket).is_some() {
            self.keep(ticket, slots);
        }
    }

    pub(super) fn keep(&mut self, ticket: Ticket, slots: u64) {
        self.keep_no_longer(ticket);
        self.starving.insert(ticket, slots);
        self.starving_slots += u128::from(slots);
        *self.starving_blocks.entry(Self::block(ticket)).or_default() += u128::from(slots);
    }

    pub(super) fn keep_no_longer(&mut self, ticket: Ticket) {
        if let Some(slots) = self.starving.remove(&ticket) {
            self.starving_slots -= u128::from(slots);
            take(&mut self.starving_blocks, Self::block(ticket), u128::from(slots));
        }
    }

    /// How many slots are kept for those that are older than `ticket`.
    pub(super) fn kept_before(&self, ticket: Ticket) -> u128 {
        match self.starving.last_key_value() {
            None => 0,
            Some((youngest, _)) if *youngest < ticket => self.starving_slots,
            Some(_) => {
                let block = Self::block(ticket);
                let whole: u128 = self.starving_blocks.range(..block).map(|(_, slots)| slots).sum();
                let rest = self.starving.range(Self::first_of(block)..ticket);
                whole + rest.map(|(_, slots)| u128::from(*slots)).sum::<u128>()
            }
        }
    }

    /// The youngest of those that slots are kept for.
    pub(super) fn youngest_starving(&self) -> Option<Ticket> {
        self.starving.last_key_value().map(|(ticket, _)| *ticket)
    }

    /// Whether nobody is here, nor expected back.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.starving.is_empty()
    }

    /// How many are before whoever has this priority and ticket.
    pub(super) fn count_before(&self, priority: i32, ticket: Ticket) -> u64 {
        let block = Self::block(ticket);
        let first = Self::first_of(block);
        let priority = Reverse(priority);
        let whole: usize = self.blocks.range(..(priority, block)).map(|(_, count)| count).sum();
        let rest = self.order.range((priority, first)..(priority, ticket)).count();
        u64::try_from(whole + rest).unwrap_or(u64::MAX)
    }

    pub(super) fn oldest(&self) -> Option<Ticket> {
        let patient = self.patient.keys().next().copied();
        patient.into_iter().chain(self.starving.keys().next().copied()).min()
    }
}

/// Counts so much less, and nothing any longer where nothing is left.
fn take<K: Ord, N: SubAssign + Default + PartialEq>(counts: &mut BTreeMap<K, N>, key: K, less: N) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= less;
        if *count.get() == N::default() {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Counted in blocks, but the same as counted one by one.
        #[test]
        fn what_is_kept_before_a_ticket_is_what_is_kept_for_each_before_it(
            moves in prop::collection::vec((0..1_000_u64, 1..5_u64, any::<bool>()), 0..300),
        ) {
            let mut line = Line::default();
            let mut kept = BTreeMap::new();
            for (ticket, slots, is_kept) in moves {
                if is_kept {
                    line.keep(Ticket(ticket), slots);
                    kept.insert(ticket, slots);
                } else {
                    line.keep_no_longer(Ticket(ticket));
                    kept.remove(&ticket);
                }
            }
            for ticket in (0..1_100).step_by(7) {
                let sum: u64 = kept.range(..ticket).map(|(_, slots)| slots).sum();
                prop_assert_eq!(line.kept_before(Ticket(ticket)), u128::from(sum));
            }
        }
    }
}
