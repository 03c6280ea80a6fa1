//! What reaches a server, what leaves it, and what an observer records of it.

use leasehold_engine::Command;

use crate::history::Attempt;
use crate::scene::Scene;
use crate::wire::{Connection, Reply, Request};

/// A point in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The world's time, which no clock shows.
    pub(crate) now: u64,
    /// What the wall clock of the server's machine shows.
    pub(crate) wall: i64,
}

/// Replies that leave the server, each with its connection. `None`: the client has hung up and gets
/// none.
pub(crate) type Replies = Vec<(Connection, Option<Reply>)>;

/// What reaches the server.
#[derive(Debug)]
pub(crate) enum Message {
    Request(Connection, Request),
    HangUp(Connection),
    /// Undoes a grant whose client has hung up.
    Undo(Command),
    /// The server is about to stop.
    Drain,
}

/// What an observer recorded over all lives of the server.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) scenes: Vec<Scene>,
    pub(crate) attempts: Vec<Attempt>,
}
