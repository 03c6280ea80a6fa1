//! What a connection and the requests on it know of each other: whether any has come, and whether
//! an answer with a grant has reached its client.
//!
//! A grant is on its way from when its answer is written until another byte comes from its
//! client. If the answer cannot be written, or if the connection is reset at once, the client
//! did not read it, and the grant is given back.
//!
//! A client that has sent its whole request may close its half of the connection, and still reads
//! the answer. Of a request that waits or grants, the end means that its client has gone.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::grant::Carried;

/// A connection that is reset within this time of an answer, before another byte came, was reset
/// by a client that did not read the answer. Later it may be any router on the way.
const RESET_TIME: Duration = Duration::from_secs(1);

/// What a client that says no more still gets.
const NOTHING: u8 = 0;
/// An answer, if what has been read of its request is all of it.
const UNREAD: u8 = 1;
/// Nothing, because more of its request has to come.
const LACKING: u8 = 2;
/// An answer.
const DUE: u8 = 3;

#[derive(Debug, Default)]
pub(super) struct Line {
    debt: AtomicU8,
    /// The client says no more.
    is_at_end: AtomicBool,
    /// How many requests have come.
    requests: AtomicU32,
    /// One of them is not answered yet, or made the connection a WebSocket.
    is_under_way: AtomicBool,
    carries_grant: AtomicBool,
    grant: Mutex<Option<(Carried, Instant)>>,
    sent_away: Notify,
}

impl Line {
    /// Ends a connection that keeps others outside.
    pub(super) fn send_away(&self) {
        self.sent_away.notify_one();
    }

    pub(super) async fn is_sent_away(&self) {
        self.sent_away.notified().await;
    }

    /// Notes that a request has come.
    pub(super) fn asks(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.is_under_way.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_asked(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// How many requests have come, if the head of another one may come now.
    pub(super) fn awaits_head(&self) -> Option<u32> {
        let is_free = !self.is_under_way.load(Ordering::Relaxed);
        is_free.then(|| self.requests.load(Ordering::Relaxed))
    }

    /// A request has come that is answered though its client says no more.
    pub(super) fn will_owe(&self) {
        self.debt.store(UNREAD, Ordering::Relaxed);
    }

    /// The body of the request has come to its end.
    pub(super) fn is_whole(&self) {
        self.turn(&[UNREAD, LACKING], DUE);
    }

    /// More of the body is wanted than has come. Whether none will come.
    pub(super) fn is_cut_short(&self) -> bool {
        self.turn(&[UNREAD], LACKING) && self.is_at_end.load(Ordering::Relaxed)
    }

    /// The answer is there, and the connection goes on with requests or with something else.
    pub(super) fn is_answered(&self, goes_on: bool) {
        self.debt.store(NOTHING, Ordering::Relaxed);
        self.is_under_way.store(!goes_on, Ordering::Relaxed);
    }

    /// The client says no more. Whether it gets an answer all the same.
    pub(super) fn owes_at_end(&self) -> bool {
        self.is_at_end.store(true, Ordering::Relaxed);
        matches!(self.debt.load(Ordering::Relaxed), UNREAD | DUE)
    }

    /// Only the task of the connection comes here.
    fn turn(&self, from: &[u8], to: u8) -> bool {
        let is_so = from.contains(&self.debt.load(Ordering::Relaxed));
        if is_so {
            self.debt.store(to, Ordering::Relaxed);
        }
        is_so
    }

    /// Takes care of a grant whose answer is about to be written.
    pub(super) fn carry(&self, grant: Carried) {
        self.settle(Carried::keep);
        *self.grant.lock().unwrap_or_else(PoisonError::into_inner) = Some((grant, Instant::now()));
        self.carries_grant.store(true, Ordering::Relaxed);
    }

    /// Whether a grant is on its way.
    pub(super) fn carries_grant(&self) -> bool {
        self.carries_grant.load(Ordering::Relaxed)
    }

    /// More has come from the client, or it has no more to say.
    pub(super) fn was_read(&self) {
        self.turn(&[LACKING], UNREAD);
        self.settle(Carried::keep);
    }

    /// The client broke the connection off.
    pub(super) fn was_reset(&self) {
        self.settle_at(
            |grant, at| {
                if at.elapsed() < RESET_TIME { grant.give_back() } else { grant.keep() }
            },
        );
    }

    /// What waited for the client cannot be written.
    pub(super) fn is_unwritten(&self) {
        self.settle(Carried::give_back);
    }

    /// The connection is over. An answer of which nothing was written has reached nobody.
    pub(super) fn has_ended(&self) {
        self.settle(Carried::keep_if_written);
    }

    fn settle(&self, how: impl FnOnce(Carried)) {
        self.settle_at(|grant, _| how(grant));
    }

    fn settle_at(&self, how: impl FnOnce(Carried, Instant)) {
        // Most of what is read and written carries none.
        if !self.carries_grant.load(Ordering::Relaxed) {
            return;
        }
        self.carries_grant.store(false, Ordering::Relaxed);
        let grant = self.grant.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((grant, at)) = grant {
            how(grant, at);
        }
    }
}
