//! The line of one limit: the order of its waiters, how often each was overtaken, and how many
//! slots each wants.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::SubAssign;

use super::OVERTAKES_MAX;
use crate::ticket::Ticket;
use crate::time::Timestamp;

/// The waiters for one limit.
#[derive(Debug)]
pub(crate) struct Line {
    pub(super) order: BTreeSet<(Reverse<i32>, Ticket)>,
    /// Of `order`, the first one of those that want the same.
    pub(super) firsts: BTreeSet<(Reverse<i32>, Ticket)>,
    /// How many of `order` are in each block of tickets, so that a position in a long line is not
    /// counted one by one.
    blocks: BTreeMap<(Reverse<i32>, u64), usize>,
    /// Each waiter with the value of `overtakes` when it joined, or when the next younger one
    /// joined. So the values rise with the tickets, and the most overtaken are first.
    patient: BTreeMap<Ticket, u64>,
    /// Waiters that were overtaken too often, with the slots that are reserved for each.
    reserved: BTreeMap<Ticket, u64>,
    /// The slots that are reserved in each block of tickets.
    reserved_blocks: BTreeMap<u64, u128>,
    /// All slots that are reserved.
    reserved_slots: u128,
    /// How many grants here overtook an older waiter.
    pub(super) overtakes: u64,
    /// How many waiters want this many slots.
    sizes: BTreeMap<u64, usize>,
    pub(super) alarm: Option<Timestamp>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            firsts: BTreeSet::new(),
            blocks: BTreeMap::new(),
            patient: BTreeMap::new(),
            reserved: BTreeMap::new(),
            reserved_blocks: BTreeMap::new(),
            reserved_slots: 0,
            // A waiter that comes back was overtaken no more often than this before.
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

    /// Adds a waiter that was overtaken so often before.
    pub(super) fn insert(&mut self, priority: i32, (ticket, overtaken): (Ticket, u64), slots: u64) {
        self.order.insert((Reverse(priority), ticket));
        *self.blocks.entry((Reverse(priority), Self::block(ticket))).or_default() += 1;
        *self.sizes.entry(slots).or_default() += 1;
        if overtaken >= OVERTAKES_MAX {
            self.reserve(ticket, slots);
            return;
        }
        // A waiter that comes back to an old place counts as overtaken no less often than the next
        // younger one, and so do those before it. Otherwise the values would not rise with the
        // tickets, and `overtaken_too_often` would miss some.
        let own = self.overtakes - overtaken;
        let behind = self.patient.range(ticket..).next();
        let joined = behind.map_or(own, |(_, joined)| own.min(*joined));
        let before = self.patient.range_mut(..ticket).rev();
        before.take_while(|(_, before)| **before > joined).for_each(|(_, before)| *before = joined);
        self.patient.insert(ticket, joined);
    }

    /// Removes a waiter that was added with the same values.
    pub(super) fn remove(&mut self, priority: i32, ticket: Ticket, slots: u64) {
        self.order.remove(&(Reverse(priority), ticket));
        take(&mut self.blocks, (Reverse(priority), Self::block(ticket)), 1);
        self.patient.remove(&ticket);
        self.release(ticket);
        take(&mut self.sizes, slots, 1);
    }

    /// How often a waiter in this line has been overtaken.
    pub(super) fn overtaken(&self, ticket: Ticket) -> u64 {
        let joined = self.patient.get(&ticket);
        joined.map_or(OVERTAKES_MAX, |joined| self.overtakes - joined)
    }

    /// The waiters that have been overtaken too often and have no slots reserved yet.
    pub(super) fn overtaken_too_often(&self) -> impl Iterator<Item = Ticket> {
        let patient = self.patient.iter();
        patient
            .take_while(|(_, joined)| self.overtakes - **joined >= OVERTAKES_MAX)
            .map(|(ticket, _)| *ticket)
    }

    /// Reserves slots for a waiter from now on.
    pub(super) fn reserve_if_patient(&mut self, ticket: Ticket, slots: u64) {
        if self.patient.remove(&ticket).is_some() {
            self.reserve(ticket, slots);
        }
    }

    pub(super) fn reserve(&mut self, ticket: Ticket, slots: u64) {
        self.release(ticket);
        self.reserved.insert(ticket, slots);
        self.reserved_slots += u128::from(slots);
        *self.reserved_blocks.entry(Self::block(ticket)).or_default() += u128::from(slots);
    }

    pub(super) fn release(&mut self, ticket: Ticket) {
        if let Some(slots) = self.reserved.remove(&ticket) {
            self.reserved_slots -= u128::from(slots);
            take(&mut self.reserved_blocks, Self::block(ticket), u128::from(slots));
        }
    }

    /// How many slots are reserved for waiters older than `ticket`.
    pub(super) fn reserved_before(&self, ticket: Ticket) -> u128 {
        match self.reserved.last_key_value() {
            None => 0,
            Some((youngest, _)) if *youngest < ticket => self.reserved_slots,
            Some(_) => {
                let block = Self::block(ticket);
                let whole: u128 = self.reserved_blocks.range(..block).map(|(_, slots)| slots).sum();
                let rest = self.reserved.range(Self::first_of(block)..ticket);
                whole + rest.map(|(_, slots)| u128::from(*slots)).sum::<u128>()
            }
        }
    }

    /// The fewest and the most slots that a waiter here wants.
    pub(crate) fn sizes(&self) -> Option<(u64, u64)> {
        Some((*self.sizes.first_key_value()?.0, *self.sizes.last_key_value()?.0))
    }

    /// The youngest waiter that slots are reserved for.
    pub(crate) fn youngest_reserved(&self) -> Option<Ticket> {
        self.reserved.last_key_value().map(|(ticket, _)| *ticket)
    }

    /// How many waiters it has.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether it has no waiters and no reservations.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.reserved.is_empty()
    }

    /// How many waiters are before this priority and ticket.
    pub(super) fn count_before(&self, priority: i32, ticket: Ticket) -> u64 {
        let block = Self::block(ticket);
        let first = Self::first_of(block);
        let priority = Reverse(priority);
        let whole: usize = self.blocks.range(..(priority, block)).map(|(_, count)| count).sum();
        let rest = self.order.range((priority, first)..(priority, ticket)).count();
        u64::try_from(whole + rest).unwrap_or(u64::MAX)
    }

    /// The oldest waiter.
    pub(crate) fn oldest(&self) -> Option<Ticket> {
        let patient = self.patient.keys().next().copied();
        patient.into_iter().chain(self.reserved.keys().next().copied()).min()
    }
}

/// Subtracts from a count, and removes it at zero.
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
        #[test]
        fn slots_reserved_before_a_ticket_are_the_sum_of_all_older_reservations(
            changes in prop::collection::vec((0..1_000_u64, 1..5_u64, any::<bool>()), 0..300),
        ) {
            let mut line = Line::default();
            let mut reserved = BTreeMap::new();
            for (ticket, slots, is_reserved) in changes {
                if is_reserved {
                    line.reserve(Ticket(ticket), slots);
                    reserved.insert(ticket, slots);
                } else {
                    line.release(Ticket(ticket));
                    reserved.remove(&ticket);
                }
            }
            for ticket in (0..1_100).step_by(7) {
                let sum: u64 = reserved.range(..ticket).map(|(_, slots)| slots).sum();
                prop_assert_eq!(line.reserved_before(Ticket(ticket)), u128::from(sum));
            }
        }
    }
}
