//! What was observed in a run, and when. The checkers know nothing else.
//!
//! Times are those of the world: microseconds that no step of a clock changes.

use std::ops::Range;

use crate::scene::Scene;
use crate::wire::{Reply, Request};

/// Everything that was observed in one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) exchanges: Vec<Exchange>,
    /// When the server was up, in order.
    pub(crate) uptimes: Vec<Uptime>,
    /// The queue after each step.
    pub(crate) scenes: Vec<Scene>,
    /// The commits, in order.
    pub(crate) attempts: Vec<Attempt>,
}

/// A commit that began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) began: u64,
    /// Whether a request wanted a change since the last failure. True if this server had none yet.
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
    /// After this time, no copy had an effect.
    pub(crate) quiet: u64,
    /// The copies that reached a running server, each with its time.
    pub(crate) arrived: Vec<(u64, u64)>,
    pub(crate) replies: Vec<Answer>,
    /// The copies that the client hung up on, each with the time at which the server noticed.
    pub(crate) hung_up: Vec<(u64, u64)>,
}

/// A reply to one copy of a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The copy that it answers.
    pub(crate) copy: u64,
    /// When it left the server.
    pub(crate) left: u64,
    /// Whether its client received it.
    pub(crate) is_received: bool,
    pub(crate) reply: Reply,
}

/// One life of the server, in which its clock ran evenly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uptime {
    pub(crate) from: u64,
    /// What the server's clock showed at its start.
    pub(crate) clock: i64,
    /// When it crashed or stopped, if it did.
    pub(crate) until: Option<u64>,
}

impl History {
    /// Whether the server crashes or stops in this time.
    pub(crate) fn crashes_in(&self, time: &Range<u64>) -> bool {
        self.uptimes.iter().any(|uptime| uptime.until.is_some_and(|at| time.contains(&at)))
    }

    /// When the server's clock showed `clock`, a time in a reply that left at `left`.
    pub(crate) fn when(&self, clock: i64, left: u64) -> u64 {
        let before = self.uptimes.partition_point(|uptime| uptime.from <= left);
        let Some(uptime) = before.checked_sub(1).and_then(|nth| self.uptimes.get(nth)) else {
            return left;
        };
        uptime.from.saturating_add_signed(clock - uptime.clock)
    }

    /// A deadline promised at `promised`, extended by all downtimes before it.
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
    /// The replies that the client received.
    pub(crate) fn received(&self) -> impl Iterator<Item = &Answer> {
        self.replies.iter().filter(|answer| answer.is_received)
    }

    /// When the earliest received reply left that says that the request was done.
    pub(crate) fn done(&self) -> Option<u64> {
        let done = |answer: &&Answer| matches!(answer.reply, Reply::Done { .. });
        self.received().filter(done).map(|answer| answer.left).min()
    }
}
