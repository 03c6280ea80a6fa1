//! The line of one limit: who is before whom, who was overtaken, and who wants how much.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

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

    /// Somebody joins who wants so many slots, and was overtaken so often before.
    pub(super) fn insert(&mut self, priority: i32, (ticket, overtaken): (Ticket, u64), slots: u64) {
        self.order.insert((Reverse(priority), ticket));
        *self.blocks.entry((Reverse(priority), ticket.0 / Self::BLOCK)).or_default() += 1;
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
        take_one(&mut self.blocks, (Reverse(priority), ticket.0 / Self::BLOCK));
        self.patient.remove(&ticket);
        self.keep_no_longer(ticket);
        take_one(&mut self.sizes, slots);
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
        if self.starving.insert(ticket, slots).is_none() {
            self.starving_slots += u128::from(slots);
        }
    }

    pub(super) fn keep_no_longer(&mut self, ticket: Ticket) {
        if let Some(slots) = self.starving.remove(&ticket) {
            self.starving_slots -= u128::from(slots);
        }
    }

    /// How many slots are kept for those that are older than `ticket`.
    pub(super) fn kept_before(&self, ticket: Ticket) -> u128 {
        match self.starving.last_key_value() {
            None => 0,
            Some((youngest, _)) if *youngest < ticket => self.starving_slots,
            Some(_) => self.starving.range(..ticket).map(|(_, slots)| u128::from(*slots)).sum(),
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
        let block = ticket.0 / Self::BLOCK;
        let first = Ticket(block * Self::BLOCK);
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

/// Counts one less, and nothing any longer where there is none.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
