//! Tickets that have something in common.

use std::collections::BTreeSet;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::ticket::Ticket;

/// Tickets by what they have in common. No group is empty.
#[derive(Debug)]
pub(super) struct Groups<K>(FxHashMap<K, BTreeSet<Ticket>>);

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<K: Eq + Hash> Groups<K> {
    /// The oldest of a group.
    pub(super) fn first(&self, key: &K) -> Option<Ticket> {
        self.0.get(key)?.first().copied()
    }

    /// A group, oldest first.
    pub(super) fn group(&self, key: &K) -> impl Iterator<Item = Ticket> {
        self.0.get(key).into_iter().flatten().copied()
    }

    pub(super) fn insert(&mut self, key: K, ticket: Ticket) {
        self.0.entry(key).or_default().insert(ticket);
    }

    pub(super) fn remove(&mut self, key: &K, ticket: Ticket) {
        if let Some(group) = self.0.get_mut(key) {
            group.remove(&ticket);
            if group.is_empty() {
                self.0.remove(key);
            }
        }
    }
}
