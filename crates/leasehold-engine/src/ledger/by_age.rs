//! All leases in the order of their age, so that a page of them costs no more than the page.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::lease::{Fence, Lease, LeaseId};

/// All leases by the kind of their holder, and by age. There are few kinds, so the oldest lease of
/// all is found as fast as the oldest of one kind.
#[derive(Debug, Default)]
pub(crate) struct LeasesByAge(BTreeMap<Option<Arc<str>>, BTreeMap<Fence, LeaseId>>);

impl LeasesByAge {
    pub(super) fn add(&mut self, lease: &Lease) {
        self.0.entry(kind(lease)).or_default().insert(lease.fence, lease.id);
    }

    pub(super) fn remove(&mut self, lease: &Lease) {
        let kind = kind(lease);
        if let Some(leases) = self.0.get_mut(&kind) {
            leases.remove(&lease.fence);
            if leases.is_empty() {
                self.0.remove(&kind);
            }
        }
    }

    /// The kinds of holders.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys().flatten()
    }

    /// How many leases have a holder of this kind.
    pub(crate) fn count_of(&self, kind: &Arc<str>) -> usize {
        self.0.get(&Some(kind.clone())).map_or(0, BTreeMap::len)
    }

    /// The leases that have a holder of this kind, oldest first.
    pub(crate) fn of_kind(&self, kind: &Arc<str>) -> impl Iterator<Item = LeaseId> {
        self.0.get(&Some(kind.clone())).into_iter().flat_map(BTreeMap::values).copied()
    }

    /// All leases, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = LeaseId> {
        let mut rest: Vec<_> = self.0.values().map(BTreeMap::iter).collect();
        let mut oldest: BinaryHeap<_> = rest
            .iter_mut()
            .enumerate()
            .filter_map(|(kind, leases)| leases.next().map(|oldest| Reverse((oldest, kind))))
            .collect();
        std::iter::from_fn(move || {
            let Reverse(((_, lease), kind)) = oldest.pop()?;
            let next = rest.get_mut(kind).and_then(Iterator::next);
            oldest.extend(next.map(|next| Reverse((next, kind))));
            Some(*lease)
        })
    }
}

fn kind(lease: &Lease) -> Option<Arc<str>> {
    lease.holder.as_ref().map(|holder| holder.kind.clone())
}
