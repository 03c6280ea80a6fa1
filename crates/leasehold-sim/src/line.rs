//! Who waits at the server: which connection is behind each waiter in the ledger's queue, the
//! places that are kept for clients that poll, and the connections whose clients hung up.

use std::collections::{BTreeMap, HashMap, HashSet};

use leasehold_engine::{Command, Ticket};

use crate::door::InLine;
use crate::wire::{Connection, Patience};

/// A request that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    pub(crate) connection: Connection,
    pub(crate) caller: Option<u64>,
    pub(crate) names: Vec<String>,
    /// What gives a grant back should its client be gone by then.
    pub(crate) undo: Option<Command>,
}

/// Everybody who waits.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) waiting: BTreeMap<u64, Waits>,
    waiters_made: u64,
    /// The places kept for clients that poll.
    places: HashMap<u64, Ticket>,
    /// Connections whose clients have hung up.
    pub(crate) gone: HashSet<Connection>,
}

impl Line {
    /// How a request is to wait: a client that polls is refused at once, unless it comes back
    /// to a place that was kept for it.
    pub(crate) fn patience(&mut self, asked: Patience) -> InLine {
        self.waiters_made += 1;
        let place = asked.caller.and_then(|caller| self.places.remove(&caller));
        let is_first = asked.caller.is_some() && place.is_none();
        let wait = if is_first { 0 } else { asked.wait };
        InLine { waiter: self.waiters_made, wait, place }
    }

    /// Keeps the place of a client that was refused.
    pub(crate) fn keep(&mut self, caller: Option<u64>, place: Option<Ticket>) {
        if let (Some(caller), Some(place)) = (caller, place) {
            self.places.insert(caller, place);
        }
    }

    /// The client behind a connection has hung up. Answers who waited on it, if anybody did.
    pub(crate) fn hang_up(&mut self, connection: Connection) -> Option<u64> {
        let waiter =
            self.waiting.iter().find(|(_, waits)| waits.connection == connection).map(|(w, _)| *w);
        match waiter {
            Some(waiter) => drop(self.waiting.remove(&waiter)),
            None => drop(self.gone.insert(connection)),
        }
        waiter
    }

    /// Sends everybody away. Answers who waited, on which connection.
    pub(crate) fn send_away(&mut self) -> Vec<(u64, Connection)> {
        self.places.clear();
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|(waiter, waits)| (waiter, waits.connection)).collect()
    }
}
