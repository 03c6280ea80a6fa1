//! What reaches a server, what leaves it, and what was seen of it.

use leasehold_engine::Command;

use crate::history::Attempt;
use crate::scene::Scene;
use crate::wire::{Connection, Reply, Request};

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Of the world, which no clock shows.
    pub(crate) now: u64,
    /// What the wall clock of the server's machine shows.
    pub(crate) wall: i64,
}

/// Replies on their way out, each with the connection that it belongs to. `None`: there will
/// be none, for its client has hung up.
pub(crate) type Replies = Vec<(Connection, Option<Reply>)>;

/// What reaches the server.
#[derive(Debug)]
pub(crate) enum Message {
    Request(Connection, Request),
    HangUp(Connection),
    /// Gives back a grant whose client has hung up.
    Undo(Command),
    /// The server is about to stop.
    Drain,
}

/// What an onlooker saw, by all servers on this disk.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) scenes: Vec<Scene>,
    pub(crate) attempts: Vec<Attempt>,
}
