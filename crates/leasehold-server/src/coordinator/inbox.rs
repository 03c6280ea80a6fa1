//! What reaches the coordinator from outside, in the order in which it was sent.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use leasehold_engine::{Command, Timestamp, WaiterId};
use tokio::sync::oneshot;

use super::{Answer, Unavailable};
use crate::clock::Clock;

/// How many commands may wait to be stepped. Beyond, the server is overloaded and says so.
const REQUESTS_MAX: usize = 8_192;
/// So many of them are kept for renewals and releases: however many want slots, nobody loses a
/// lease for it.
const KEPT_REQUESTS: usize = 1_024;

#[derive(Debug)]
pub(super) enum Message {
    Request(Request),
    Note(Note),
    /// What was not due when the coordinator went to sleep may be now.
    ClockMoved,
    /// The last message that is heeded.
    Stop,
}

/// A command that somebody waits for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) reply: Reply,
}

pub(super) type Reply = oneshot::Sender<Result<Answer, Unavailable>>;

/// What the coordinator is told that nobody waits for. Never refused for lack of room: there
/// is at most one for each request.
#[derive(Debug)]
pub(super) enum Note {
    /// A grant did not reach its client.
    Undo(Command),
    /// A client that waited has hung up.
    Abandon(WaiterId),
    /// The server is about to stop: nobody waits any longer.
    SendWaitersAway,
}

/// Sends to an [`Inbox`].
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    messages: mpsc::Sender<Message>,
    requests: Arc<AtomicUsize>,
}

#[derive(Debug)]
pub(super) struct Inbox {
    messages: mpsc::Receiver<Message>,
    /// How many requests were sent and not yet received.
    requests: Arc<AtomicUsize>,
    /// Received, and to be heeded before all others.
    put_off: VecDeque<Message>,
}

pub(super) fn new() -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel();
    let requests = Arc::<AtomicUsize>::default();
    let outbox = Outbox { messages: sender, requests: requests.clone() };
    (outbox, Inbox { messages: receiver, requests, put_off: VecDeque::new() })
}

impl Outbox {
    pub(super) fn request(&self, request: Request) -> Result<(), Unavailable> {
        let is_keeping = matches!(
            request.command,
            Command::Renew { .. } | Command::Release { .. } | Command::GiveBack(_)
        );
        let most = if is_keeping { REQUESTS_MAX } else { REQUESTS_MAX - KEPT_REQUESTS };
        if self.requests.fetch_add(1, Ordering::Relaxed) >= most {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return Err(Unavailable::Overloaded);
        }
        let request = Message::Request(request);
        self.messages.send(request).map_err(|_| Unavailable::Stopping)
    }

    /// A coordinator that has stopped heeds none, and needs none.
    pub(super) fn note(&self, note: Note) {
        let _ = self.messages.send(Message::Note(note));
    }

    pub(super) fn stop(&self) {
        let _ = self.messages.send(Message::Stop);
    }

    /// A clock that is moved by hand wakes the coordinator.
    pub(super) fn watch(&self, clock: &Clock) {
        let messages = self.messages.clone();
        clock.when_moved(move || drop(messages.send(Message::ClockMoved)));
    }
}

impl Inbox {
    /// The next message, or `None` once it is `due`.
    pub(super) fn next(&mut self, clock: &Clock, due: Option<Timestamp>) -> Option<Message> {
        if let Some(message) = self.put_off.pop_front() {
            return Some(message);
        }
        // The coordinator has a sender of its own, so no end of the messages is mistaken for `due`.
        let message = match due.and_then(|due| clock.until(due)) {
            Some(delay) => self.messages.recv_timeout(delay).ok()?,
            None => self.messages.recv().ok()?,
        };
        Some(self.received(message))
    }

    /// The next message if it is there already.
    pub(super) fn next_now(&mut self) -> Option<Message> {
        let message = self.put_off.pop_front();
        message.or_else(|| self.messages.try_recv().ok().map(|message| self.received(message)))
    }

    /// Answers for a while that nothing is available. Breaks if the server stops meanwhile.
    pub(super) fn refuse_for(&mut self, delay: Duration) -> ControlFlow<()> {
        let until = Instant::now() + delay;
        // However many come: once the time is over they are not refused any longer.
        while let Some(left) = until.checked_duration_since(Instant::now())
            && let Ok(message) = self.messages.recv_timeout(left)
        {
            match self.received(message) {
                Message::Request(request) => drop(request.reply.send(Err(Unavailable::Journal))),
                Message::Stop => return ControlFlow::Break(()),
                later => self.put_off.push_back(later),
            }
        }
        ControlFlow::Continue(())
    }

    fn received(&self, message: Message) -> Message {
        if let Message::Request(_) = message {
            self.requests.fetch_sub(1, Ordering::Relaxed);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use leasehold_engine::{Page, Query, Scope, Span};

    use super::*;

    fn request() -> Request {
        let page = Page { offset: 0, limit: 1 };
        let query = Query::Limits(Scope::All, page);
        Request { command: Command::Read(query), reply: oneshot::channel().0 }
    }

    #[test]
    fn requests_are_refused_while_too_many_wait_and_notes_never() {
        let (outbox, mut inbox) = new();
        for _ in 0..REQUESTS_MAX - KEPT_REQUESTS {
            outbox.request(request()).unwrap();
        }
        assert_eq!(outbox.request(request()), Err(Unavailable::Overloaded));
        let release = || Command::Release { lease: leasehold_engine::LeaseId(7) };
        let release = || Request { command: release(), reply: oneshot::channel().0 };
        for _ in 0..KEPT_REQUESTS {
            outbox.request(release()).unwrap();
        }
        assert_eq!(outbox.request(release()), Err(Unavailable::Overloaded));
        for _ in 0..KEPT_REQUESTS {
            inbox.next_now().unwrap();
        }
        outbox.note(Note::SendWaitersAway);
        assert!(matches!(inbox.next_now(), Some(Message::Request(_))));
        outbox.request(request()).unwrap();
        assert_eq!(outbox.request(request()), Err(Unavailable::Overloaded));
        drop(inbox);
        let (outbox, _) = new();
        assert_eq!(outbox.request(request()), Err(Unavailable::Stopping));
    }

    #[test]
    fn what_comes_while_requests_are_refused_is_heeded_afterwards_and_first() {
        let (outbox, mut inbox) = new();
        let (reply, mut answer) = oneshot::channel();
        outbox.request(Request { reply, ..request() }).unwrap();
        outbox.note(Note::Abandon(WaiterId(1)));
        assert!(inbox.refuse_for(Duration::from_millis(20)).is_continue());
        assert!(matches!(answer.try_recv(), Ok(Err(Unavailable::Journal))));
        outbox.note(Note::Abandon(WaiterId(2)));
        for expected in [1, 2] {
            let Some(Message::Note(Note::Abandon(waiter))) = inbox.next_now() else {
                panic!("the note is lost")
            };
            assert_eq!(waiter, WaiterId(expected));
        }
        outbox.stop();
        assert!(inbox.refuse_for(Duration::from_secs(60)).is_break());
    }

    #[test]
    fn it_is_woken_when_something_is_due_and_when_the_clock_is_moved() {
        let (outbox, mut inbox) = new();
        let clock = Clock::manual(Timestamp::from_micros(5));
        outbox.watch(&clock);
        let due = Timestamp::from_micros(7);
        assert!(inbox.next(&clock, Some(clock.now())).is_none());
        let moved = clock.clone();
        let mover = std::thread::spawn(move || moved.advance(due.since(moved.now())));
        assert!(matches!(inbox.next(&clock, Some(due)), Some(Message::ClockMoved)));
        mover.join().unwrap();
        assert!(inbox.next(&clock, Some(due)).is_none());

        let system = Clock::system();
        let due = system.now() + Span::from_micros(300);
        assert!(inbox.next(&system, Some(due)).is_none());
        assert!(system.now() >= due);
    }
}
