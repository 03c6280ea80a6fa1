//! The state that a connection shares with its requests: whether any has come, and whether an
//! answer with a grant has reached the client.
//!
//! A grant is on its way from the time its answer is written until the client sends another byte.
//! If the answer cannot be written, or if the connection is reset at once, the client did not read
//! it. The server gives the grant back then.
//!
//! A client that has sent its whole request may close its half of the connection, and still read
//! the answer. For a request that asks for slots, that end means that the client is gone.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::grant::Carried;

/// If a connection is reset within this time after an answer, and no other byte came before, its
/// client did not read the answer. A later reset may come from any router on the way.
const RESET_TIME: Duration = Duration::from_secs(1);

/// The server owes no answer to a client that has closed its half of the connection.
const NOTHING: u8 = 0;
/// It owes an answer if the bytes that it has read are the whole request.
const UNREAD: u8 = 1;
/// It owes none, because the request is incomplete.
const LACKING: u8 = 2;
/// It owes an answer.
const DUE: u8 = 3;

#[derive(Debug, Default)]
pub(super) struct Line {
    debt: AtomicU8,
    /// The client has closed its half of the connection.
    is_at_end: AtomicBool,
    /// How many requests have come.
    requests: AtomicU32,
    /// A request is not answered yet, or it made the connection a WebSocket.
    is_under_way: AtomicBool,
    carries_grant: AtomicBool,
    grant: Mutex<Option<(Carried, Instant)>>,
    sent_away: Notify,
}

impl Line {
    /// Ends this connection, to make room for another one.
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

    /// How many requests have come, if the head of the next one may come now.
    pub(super) fn awaits_head(&self) -> Option<u32> {
        let is_free = !self.is_under_way.load(Ordering::Relaxed);
        is_free.then(|| self.requests.load(Ordering::Relaxed))
    }

    /// Notes that the server answers this request even if the client closes its half.
    pub(super) fn will_owe(&self) {
        self.debt.store(UNREAD, Ordering::Relaxed);
    }

    /// Notes that the request's body is complete.
    pub(super) fn is_whole(&self) {
        self.turn(&[UNREAD, LACKING], DUE);
    }

    /// Notes that the handler waits for more of the body. `true` if the client has closed its half,
    /// so that no more will come.
    pub(super) fn is_cut_short(&self) -> bool {
        self.turn(&[UNREAD], LACKING) && self.is_at_end.load(Ordering::Relaxed)
    }

    /// Notes that the request is answered. `goes_on` says whether more requests may follow.
    pub(super) fn is_answered(&self, goes_on: bool) {
        self.debt.store(NOTHING, Ordering::Relaxed);
        self.is_under_way.store(!goes_on, Ordering::Relaxed);
    }

    /// Notes that the client has closed its half. `true` if the server still owes it an answer.
    pub(super) fn owes_at_end(&self) -> bool {
        self.is_at_end.store(true, Ordering::Relaxed);
        matches!(self.debt.load(Ordering::Relaxed), UNREAD | DUE)
    }

    /// Only the connection's task calls this, so load and store need not be one step.
    fn turn(&self, from: &[u8], to: u8) -> bool {
        let is_so = from.contains(&self.debt.load(Ordering::Relaxed));
        if is_so {
            self.debt.store(to, Ordering::Relaxed);
        }
        is_so
    }

    /// Takes over a grant whose answer is about to be written.
    pub(super) fn carry(&self, grant: Carried) {
        self.settle(Carried::keep);
        *self.grant.lock().unwrap_or_else(PoisonError::into_inner) = Some((grant, Instant::now()));
        self.carries_grant.store(true, Ordering::Relaxed);
    }

    /// Whether a grant is on its way.
    pub(super) fn carries_grant(&self) -> bool {
        self.carries_grant.load(Ordering::Relaxed)
    }

    /// The client has sent more, or has closed its half.
    pub(super) fn was_read(&self) {
        self.turn(&[LACKING], UNREAD);
        self.settle(Carried::keep);
    }

    /// The connection was reset.
    pub(super) fn was_reset(&self) {
        self.settle_at(
            |grant, at| {
                if at.elapsed() < RESET_TIME { grant.give_back() } else { grant.keep() }
            },
        );
    }

    /// The answer cannot be written.
    pub(super) fn is_unwritten(&self) {
        self.settle(Carried::give_back);
    }

    /// The connection is over. The client has not received an answer of which nothing was written.
    pub(super) fn has_ended(&self) {
        self.settle(Carried::keep_if_written);
    }

    fn settle(&self, how: impl FnOnce(Carried)) {
        self.settle_at(|grant, _| how(grant));
    }

    fn settle_at(&self, how: impl FnOnce(Carried, Instant)) {
        // Most reads and writes carry no grant.
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
