//! Where a request for slots goes.

use std::sync::Arc;

/// Where a request for slots goes, by the limits that it names.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// All its limits are ours.
    Here,
    /// None of its limits is ours. [`Custody::came_back`](crate::Custody::came_back) ends the
    /// passage, once the upstream has answered or never will.
    There(Passage),
    /// Some are ours. Ours are taken first, then the rest upstream.
    Both {
        /// Those that are ours.
        here: Vec<Arc<str>>,
        /// The others.
        there: Vec<Arc<str>>,
        /// As for [`Self::There`].
        passage: Passage,
    },
    /// One of its limits is moving: ask again when it has moved.
    /// [`Custody::let_go`](crate::Custody::let_go) ends the hold.
    Hold(Held),
}

/// A request that was passed on to the upstream and has not come back.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Passage(pub(crate) u64);

/// A request that is held while a limit moves.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Held(pub(crate) u64);
