//! What the server knows of its requests: those that are open, those in the queue, the places of
//! clients that poll, and the connections whose clients hung up.

use std::collections::{BTreeMap, HashMap, HashSet};

use leasehold_engine::Ticket;

use crate::door::InLine;
use crate::wire::{Connection, Patience, Request};

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) request: Request,
    /// What the server's clock showed when the ledger stepped it.
    pub(crate) at: i64,
    /// The place that it came back to.
    pub(crate) place: Option<Ticket>,
}

impl Open {
    fn caller(&self) -> Option<u64> {
        self.request.patience().and_then(|patience| patience.caller)
    }

    /// The limits that it wants slots of.
    pub(crate) fn names(&self) -> &[String] {
        self.request.wants().map_or(&[], |(names, _)| names)
    }
}

#[derive(Default)]
pub(crate) struct Line {
    pub(crate) open: HashMap<Connection, Open>,
    pub(crate) waiting: BTreeMap<u64, Connection>,
    waiters_made: u64,
    /// The places of clients that poll, by client.
    places: HashMap<u64, Ticket>,
    /// Connections whose clients have hung up.
    pub(crate) gone: HashSet<Connection>,
}

impl Line {
    /// How a request waits. A client that polls waits only if it comes back to its place.
    pub(crate) fn patience(&mut self, asked: Patience) -> InLine {
        self.waiters_made += 1;
        let place = asked.caller.and_then(|caller| self.places.remove(&caller));
        let is_first = asked.caller.is_some() && place.is_none();
        let wait = if is_first { 0 } else { asked.wait };
        InLine { waiter: self.waiters_made, wait, place }
    }

    /// Keeps the place of a client that was refused.
    pub(crate) fn keep(&mut self, connection: Connection, place: Option<Ticket>) {
        let caller = self.open.get(&connection).and_then(Open::caller);
        if let (Some(caller), Some(place)) = (caller, place) {
            self.places.insert(caller, place);
        }
    }

    /// Removes a request from the queue. Returns which waiter it was.
    pub(crate) fn leaves(&mut self, connection: Connection) -> Option<u64> {
        let waiter = self.waiting.iter().find(|(_, waits)| **waits == connection).map(|(w, _)| *w);
        self.waiting.remove(&waiter?);
        waiter
    }

    /// Empties the queue after the journal failed. Clients that poll can come back to their places.
    pub(crate) fn breaks_up(&mut self) {
        for connection in std::mem::take(&mut self.waiting).into_values() {
            let place = self.open.get(&connection).and_then(|open| open.place);
            self.keep(connection, place);
        }
    }

    /// The limits that requests wait for.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        let open = self.waiting.values().filter_map(|connection| self.open.get(connection));
        open.flat_map(Open::names)
    }
}
