//! The line of one limit: who is before whom, who was overtaken, and who wants how much.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::Ticket;
use crate::time::Timestamp;

/// Everybody who waits for one limit.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) order: BTreeSet<(Reverse<i32>, Ticket)>,
    /// How many of `order` there are in each block of tickets, so that a position in a long
    /// line need not be counted one by one.
    blocks: BTreeMap<(Reverse<i32>, u64), usize>,
    /// By age, each with what `overtakes` was when it joined, or whoever is behind it. So the
    /// numbers rise with the tickets, and those overtaken most stand first.
    pub(super) patient: BTreeMap<Ticket, u64>,
    /// Overtaken too often: the limit is kept for them, the oldest first.
    pub(super) starving: BTreeSet<Ticket>,
    /// How many grants there were here while somebody older waited.
    pub(super) overtakes: u64,
    /// How many want how many slots.
    pub(super) sizes: BTreeMap<u64, usize>,
    pub(super) alarm: Option<Timestamp>,
}

impl Line {
    const BLOCK: u64 = 256;

    /// Somebody joins who wants so many slots.
    pub(super) fn insert(&mut self, priority: i32, ticket: Ticket, slots: u64) {
        self.order.insert((Reverse(priority), ticket));
        *self.blocks.entry((Reverse(priority), ticket.0 / Self::BLOCK)).or_default() += 1;
        // Who comes back to an old place counts as overtaken like whoever came next: behind one
        // that begins to count anew, others would starve unseen.
        let behind = self.patient.range(ticket..).next();
        let joined = behind.map_or(self.overtakes, |(_, joined)| *joined);
        self.patient.insert(ticket, joined);
        *self.sizes.entry(slots).or_default() += 1;
    }

    /// Somebody leaves who joined with the same.
    pub(super) fn remove(&mut self, priority: i32, ticket: Ticket, slots: u64) {
        self.order.remove(&(Reverse(priority), ticket));
        take_one(&mut self.blocks, (Reverse(priority), ticket.0 / Self::BLOCK));
        self.patient.remove(&ticket);
        self.starving.remove(&ticket);
        take_one(&mut self.sizes, slots);
    }

    /// How many are before whoever has this priority and ticket.
    pub(super) fn count_before(&self, priority: i32, ticket: Ticket) -> u64 {
        let block = ticket.0 / Self::BLOCK;
        let first = Ticket(block * Self::BLOCK);
        let priority = Reverse(priority);
        let whole: usize = self.blocks.range(..(priority, block)).map(|(_, count)| count).sum();
        let rest = self.order.range((priority, first)..(priority, ticket)).count();
        u64::try_from(whole + rest).unwrap_or(u64::MAX)
    }

    pub(super) fn oldest(&self) -> Option<Ticket> {
        let patient = self.patient.keys().next().copied();
        patient.into_iter().chain(self.starving.first().copied()).min()
    }
}

/// Counts one less, and nothing any longer where there is none.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
