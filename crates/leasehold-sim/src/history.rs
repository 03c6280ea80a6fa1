//! What was observed on the wire, and when; the checkers know nothing else.
//!
//! Times are those of the world: microseconds that no clock step disturbs.

use std::ops::Range;

use crate::scene::Scene;
use crate::wire::{Reply, Request};

/// Everything that was observed in one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) exchanges: Vec<Exchange>,
    /// When the server was up, in order.
    pub(crate) uptimes: Vec<Uptime>,
    /// What could be seen of the line, step by step.
    pub(crate) scenes: Vec<Scene>,
    /// What could be seen of the journal.
    pub(crate) attempts: Vec<Attempt>,
}

/// A commit that was begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) began: u64,
    /// Whether anything but a look was asked for since the last failure.
    pub(crate) is_wanted: bool,
    /// When it failed, if it did.
    pub(crate) failed: Option<u64>,
}

/// A request, all its copies, and the replies to them.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) request: Request,
    /// When the first copy was sent.
    pub(crate) sent: u64,
    /// How many copies were sent, by the client or by the network.
    pub(crate) copies: u64,
    /// From when on no copy could have an effect any more.
    pub(crate) quiet: u64,
    /// When each copy reached a server that runs.
    pub(crate) arrived: Vec<(u64, u64)>,
    pub(crate) replies: Vec<Answer>,
    /// On which copies the client has hung up, and when the server came to know it.
    pub(crate) hung_up: Vec<(u64, u64)>,
}

/// One reply on its way.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// To which copy of the request.
    pub(crate) copy: u64,
    /// When it left the server.
    pub(crate) left: u64,
    /// Whether its client received it.
    pub(crate) is_received: bool,
    pub(crate) reply: Reply,
}

/// A time in which the server's clock ran evenly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uptime {
    pub(crate) from: u64,
    /// What the server's clock showed then.
    pub(crate) clock: i64,
    /// When it crashed, if it did.
    pub(crate) until: Option<u64>,
}

impl History {
    /// Whether the server crashes or stops in this time.
    pub(crate) fn crashes_in(&self, time: &Range<u64>) -> bool {
        self.uptimes.iter().any(|uptime| uptime.until.is_some_and(|at| time.contains(&at)))
    }

    /// When it was `clock` on the server's clock, as said in a reply that left at `left`.
    pub(crate) fn when(&self, clock: i64, left: u64) -> u64 {
        let before = self.uptimes.partition_point(|uptime| uptime.from <= left);
        let Some(uptime) = before.checked_sub(1).and_then(|nth| self.uptimes.get(nth)) else {
            return left;
        };
        uptime.from.saturating_add_signed(clock - uptime.clock)
    }

    /// A deadline that was promised, moved by all downtimes that came before it.
    pub(crate) fn extended(&self, deadline: u64, promised: u64) -> u64 {
        let mut extended = deadline;
        for pair in self.uptimes.windows(2) {
            if let [Uptime { until: Some(down), .. }, Uptime { from: up, .. }] = *pair
                && down >= promised
                && down < extended
            {
                extended += up - down;
            }
        }
        extended
    }
}

impl Exchange {
    /// The replies that the client has.
    pub(crate) fn received(&self) -> impl Iterator<Item = &Answer> {
        self.replies.iter().filter(|answer| answer.is_received)
    }

    /// When a reply left that says that it was done, if the client has one.
    pub(crate) fn done(&self) -> Option<u64> {
        let done = |answer: &&Answer| matches!(answer.reply, Reply::Done { .. });
        self.received().filter(done).map(|answer| answer.left).min()
    }
}
