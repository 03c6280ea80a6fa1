//! Events are collected here while a step runs.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::Ledger;
use crate::decay::Level;
use crate::event::{Event, EventKind};
use crate::lease::{Lease, LeaseId};
use crate::limit::{Limit, LimitId};
use crate::queue::{Waiter, Wanted};

/// One event for all limits of a lease.
type Names = SmallVec<[Arc<str>; 1]>;

impl Ledger {
    pub(crate) fn emit_for_limit(&mut self, kind: EventKind, limit: LimitId) {
        let limits = self.name_of(limit).into_iter().collect();
        self.emit(kind, limits);
    }

    /// Slots without a lease were taken or returned. `before` were taken until then.
    pub(crate) fn emit_unleased_change(&mut self, limit: LimitId, before: Level) {
        let entry = self.limits.get(&limit).filter(|entry| entry.limit.decay.is_none());
        let Some(unleased) = entry.map(|entry| entry.limit.unleased.slots_taken()) else { return };
        let before = before.slots_taken();
        let kind = match unleased.cmp(&before) {
            Ordering::Greater => EventKind::Taken { slots: unleased - before, unleased },
            Ordering::Less => EventKind::GivenBack { slots: before - unleased, unleased },
            Ordering::Equal => return,
        };
        self.emit_for_limit(kind, limit);
    }

    /// A limit was edited. If it was renamed, each of its leases moves from the old name to the
    /// new.
    pub(crate) fn emit_limit_change(&mut self, was: Limit) {
        let Some(is) = self.limits.get(&was.id).map(|entry| entry.limit.clone()) else { return };
        if was == is {
            return;
        }
        let (id, from, to) = (was.id, was.name.clone(), is.name.clone());
        let is_renamed = from != to;
        let mut limits: Names = smallvec![from.clone()];
        limits.extend(is_renamed.then(|| to.clone()));
        self.emit(EventKind::LimitChanged { was: Box::new(was), is: Box::new(is) }, limits);
        for lease in is_renamed.then(|| self.leases_on(id)).into_iter().flatten() {
            self.emit_under(EventKind::MovedOut { to: to.clone() }, from.clone(), lease);
            self.emit_under(EventKind::MovedIn { from: from.clone() }, to.clone(), lease);
        }
    }

    /// A lease without limits has no events: it never answers which lease held a limit.
    pub(crate) fn emit_for_lease(&mut self, kind: EventKind, lease: &Lease) {
        let limits = self.names_held(lease);
        if !limits.is_empty() {
            self.emit_on(kind, limits, lease);
        }
    }

    /// A lease has ended. Its partners on another server end with it, also those of a lease whose
    /// limits were deleted.
    pub(crate) fn emit_end(&mut self, kind: EventKind, lease: &Lease) {
        let limits = self.names_held(lease);
        if limits.is_empty() && lease.partners.is_empty() {
            return;
        }
        self.emit_on(kind, limits, lease);
        if let Some(event) = self.events.last_mut() {
            event.partners.clone_from(&lease.partners);
        }
    }

    fn names_held(&self, lease: &Lease) -> Names {
        lease.holdings.iter().filter_map(|held| self.name_of(held.limit)).collect()
    }

    /// An event about one limit of a lease.
    pub(crate) fn emit_for_lease_on(&mut self, kind: EventKind, limit: LimitId, lease: LeaseId) {
        if let Some(name) = self.name_of(limit) {
            self.emit_under(kind, name, lease);
        }
    }

    pub(crate) fn emit_for_waiter(&mut self, kind: EventKind, waiter: &Waiter) {
        // A deleted limit has no name, but the request has.
        let requested = |want: &Wanted| Some(waiter.acquire.wants.get(want.nth)?.name.clone());
        let wanted = waiter.wanted.iter();
        let limits = wanted.filter_map(|it| self.name_of(it.limit).or_else(|| requested(it)));
        let limits = limits.collect();
        let hold = &waiter.acquire.hold;
        let (lease, holder) = (hold.lease(), hold.holder().cloned());
        let origin = waiter.acquire.origin.clone();
        let (granted, partners) = (None, Vec::new());
        let at = self.now;
        self.events.push(Event { at, kind, limits, lease, granted, holder, origin, partners });
    }

    fn emit_under(&mut self, kind: EventKind, name: Arc<str>, lease: LeaseId) {
        if let Some(lease) = self.lease(lease).cloned() {
            self.emit_on(kind, smallvec![name], &lease);
        }
    }

    fn emit_on(&mut self, kind: EventKind, limits: Names, lease: &Lease) {
        let (holder, origin) = (lease.holder.clone(), lease.origin.clone());
        let (granted, partners) = (Some(lease.created), Vec::new());
        let (at, lease) = (self.now, Some(lease.id));
        self.events.push(Event { at, kind, limits, lease, granted, holder, origin, partners });
    }

    fn emit(&mut self, kind: EventKind, limits: Names) {
        let (lease, holder, origin) = (None, None, None);
        let (granted, partners) = (None, Vec::new());
        let at = self.now;
        self.events.push(Event { at, kind, limits, lease, granted, holder, origin, partners });
    }

    fn name_of(&self, limit: LimitId) -> Option<Arc<str>> {
        self.limits.get(&limit).map(|entry| entry.limit.name.clone())
    }
}
