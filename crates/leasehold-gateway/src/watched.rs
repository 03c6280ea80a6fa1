//! The leases of the upstream that were seen passing.

use std::sync::Arc;

use leasehold_engine::{Holder, LeaseId, Span, Timestamp};
use rustc_hash::FxHashMap;

use crate::suspects::LEASE_DEFAULT;

/// How many leases are remembered. Beyond, new ones are unexplained slots.
const LEASES_MAX: usize = 200_000;
/// When clients renew, as a part of the lease's length.
const RENEWED_AFTER: f64 = 0.75;

/// A lease of the upstream that was seen passing.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its id. A task run that took tags without a lease has its own id here.
    pub lease: LeaseId,
    /// The names of its limits. Empty if it was granted before the gateway saw it.
    pub limits: Vec<Arc<str>>,
    /// How many slots it holds on each. Without its limits: how many it may hold.
    pub slots: u64,
    /// Its holder, if the request named one.
    pub holder: Option<Holder>,
    /// When it was granted, or first seen.
    pub since: Timestamp,
    /// When it was renewed last; at first when it was granted.
    pub renewed: Timestamp,
    /// How long it lasts from then. `None` for holders that cannot renew.
    pub length: Option<Span>,
}

impl Seen {
    /// When it ends unless it is renewed.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.length.map(|length| self.renewed + length)
    }

    /// When its client renews it next.
    pub fn next_renewal(&self) -> Option<Timestamp> {
        let after = |length: Span| Span::from_seconds_f64(length.as_seconds_f64() * RENEWED_AFTER);
        self.length.map(|length| self.renewed + after(length))
    }

    fn is_overdue(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| deadline < now)
    }
}

/// The leases of the upstream that were seen passing.
#[derive(Debug, Default)]
pub struct Watched {
    leases: FxHashMap<LeaseId, Seen>,
    longest: Span,
    begun: Option<Timestamp>,
    changes: u64,
}

impl Watched {
    /// Begins to watch, with what a process before this one has seen. Nothing was seen in between,
    /// so each of its leases may have been renewed just now.
    pub fn resumed(longest: Span, leases: impl IntoIterator<Item = Seen>, now: Timestamp) -> Self {
        let renewed = leases.into_iter().map(|seen| (seen.lease, Seen { renewed: now, ..seen }));
        Self { leases: renewed.collect(), longest, begun: Some(now), changes: 0 }
    }

    /// Since when it watches.
    pub fn begun(&self) -> Option<Timestamp> {
        self.begun
    }

    /// When each lease from before was renewed, so that it is known.
    pub fn is_complete_after(&self) -> Option<Timestamp> {
        self.begun.map(|begun| begun + self.longest.max(LEASE_DEFAULT))
    }

    /// All leases.
    pub fn leases(&self) -> impl ExactSizeIterator<Item = &Seen> {
        self.leases.values()
    }

    /// Counts the leases that came and went.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The upstream granted a lease.
    pub fn granted(&mut self, seen: Seen) {
        self.changes += 1;
        self.longest = self.longest.max(seen.length.unwrap_or_default());
        if self.leases.len() < LEASES_MAX {
            self.leases.insert(seen.lease, seen);
        }
    }

    /// The upstream renewed a lease. One that was granted before the gateway saw it is known from
    /// now on, without its limits.
    pub fn renewed(&mut self, lease: LeaseId, length: Span, now: Timestamp) {
        match self.leases.get_mut(&lease) {
            Some(seen) => {
                seen.renewed = now;
                seen.length = Some(length);
                self.longest = self.longest.max(length);
            }
            None => self.granted(Seen {
                lease,
                limits: Vec::new(),
                slots: self.slots_of_stranger(now),
                holder: None,
                since: now,
                renewed: now,
                length: Some(length),
            }),
        }
    }

    /// How many slots a lease may hold whose grant was not seen. One from before was granted to any
    /// request. One that turns up later was granted inside the upstream, to a run: one slot.
    fn slots_of_stranger(&self, now: Timestamp) -> u64 {
        if self.is_complete_after().is_some_and(|after| now > after) { 1 } else { u64::MAX }
    }

    /// A lease was released, or the upstream refused to renew it.
    pub fn ended(&mut self, lease: LeaseId) -> Option<Seen> {
        self.changes += 1;
        self.leases.remove(&lease)
    }

    /// A task run gave back tags that it holds without a lease.
    pub fn gave_back(&mut self, task_run: LeaseId, limits: &[Arc<str>]) {
        self.changes += 1;
        if let Some(seen) = self.leases.get_mut(&task_run) {
            seen.limits.retain(|name| !limits.contains(name));
            if seen.limits.is_empty() {
                self.leases.remove(&task_run);
            }
        }
    }

    /// The leases on a limit that live, oldest first.
    pub fn on(&self, limit: &str, now: Timestamp) -> Vec<&Seen> {
        let on_limit = |seen: &&Seen| seen.limits.iter().any(|name| &**name == limit);
        let mut found: Vec<_> = self.live(now).filter(on_limit).collect();
        found.sort_by_key(|seen| (seen.since, seen.lease));
        found
    }

    /// How many slots of a limit its known leases explain.
    pub fn explained(&self, limit: &str, now: Timestamp) -> u64 {
        self.on(limit, now).iter().map(|seen| seen.slots).sum()
    }

    /// The leases that live and whose limits are unknown: they were granted before the gateway
    /// saw them.
    pub fn strangers(&self, now: Timestamp) -> u64 {
        self.live(now).filter(|seen| seen.limits.is_empty()).count() as u64
    }

    /// How many slots of any limit these may hold.
    pub fn slots_of_strangers(&self, now: Timestamp) -> u64 {
        let strangers = self.live(now).filter(|seen| seen.limits.is_empty());
        strangers.fold(0, |sum, seen| sum.saturating_add(seen.slots))
    }

    /// The length of the longest lease that was seen.
    pub fn longest(&self) -> Span {
        self.longest
    }

    /// Forgets the leases whose time is over.
    pub fn forget_overdue(&mut self, now: Timestamp) {
        self.leases.retain(|_, seen| !seen.is_overdue(now));
    }

    fn live(&self, now: Timestamp) -> impl Iterator<Item = &Seen> {
        self.leases.values().filter(move |seen| !seen.is_overdue(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn seen(lease: u128, limit: &str) -> Seen {
        Seen {
            lease: LeaseId(lease),
            limits: vec![limit.into()],
            slots: 2,
            holder: None,
            since: at(0),
            renewed: at(0),
            length: Some(Span::from_seconds(100)),
        }
    }

    #[test]
    fn a_lease_explains_its_slots_until_its_deadline() {
        let mut watched = Watched::default();
        watched.granted(seen(1, "a"));
        assert_eq!(watched.explained("a", at(100)), 2);
        assert_eq!(watched.explained("a", at(101)), 0);
        assert_eq!(watched.on("a", at(0))[0].next_renewal(), Some(at(75)));
        watched.renewed(LeaseId(1), Span::from_seconds(100), at(90));
        assert_eq!(watched.explained("a", at(101)), 2);
        watched.ended(LeaseId(1));
        assert_eq!(watched.explained("a", at(101)), 0);
    }

    #[test]
    fn a_lease_from_before_is_known_by_its_renewal() {
        let mut watched = Watched::default();
        watched.renewed(LeaseId(7), Span::from_seconds(300), at(0));
        assert_eq!((watched.strangers(at(1)), watched.longest()), (1, Span::from_seconds(300)));
        watched.forget_overdue(at(301));
        assert_eq!(watched.strangers(at(1)), 0);
    }

    #[test]
    fn a_lease_from_before_may_hold_any_number_of_slots() {
        let mut watched = Watched::resumed(Span::from_seconds(600), [], at(0));
        assert_eq!(watched.is_complete_after(), Some(at(600)));
        watched.renewed(LeaseId(7), Span::from_seconds(600), at(450));
        assert_eq!(watched.slots_of_strangers(at(500)), u64::MAX);
        watched.ended(LeaseId(7));
        // All from before have been renewed by now.
        watched.renewed(LeaseId(8), Span::from_seconds(60), at(601));
        assert_eq!((watched.strangers(at(602)), watched.slots_of_strangers(at(602))), (1, 1));
    }

    #[test]
    fn a_restart_forgets_no_lease_and_no_length() {
        let before = Watched::resumed(Span::ZERO, [seen(1, "a")], at(1_000));
        assert_eq!(before.explained("a", at(1_100)), 2, "it may have been renewed in between");
        assert_eq!(before.explained("a", at(1_101)), 0);
        let after = Watched::resumed(Span::from_seconds(3_600), [], at(1_000));
        assert_eq!(after.longest(), Span::from_seconds(3_600));
    }

    #[test]
    fn a_task_run_gives_back_tag_by_tag() {
        let mut watched = Watched::default();
        let limits = vec!["tag:a".into(), "tag:b".into()];
        watched.granted(Seen { limits, slots: 1, length: None, ..seen(3, "") });
        watched.gave_back(LeaseId(3), &["tag:a".into()]);
        assert_eq!(watched.explained("tag:a", at(0)), 0);
        assert_eq!(watched.explained("tag:b", at(9_999)), 1);
    }
}
