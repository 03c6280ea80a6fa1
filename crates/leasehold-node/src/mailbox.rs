//! The messages to the thread, in the order in which they were sent; and the answers, each of which
//! undoes its grant if it does not reach the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use leasehold_engine::{Command, Outcome, Timestamp};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::desk::{self, Input, Unavailable};

/// How many commands may wait to be stepped. More are refused as overloaded.
const REQUESTS_MAX: usize = 8_192;
/// How many of them are reserved for renewals and releases: however many requests want slots, no
/// holder loses its lease because of them.
const KEPT_REQUESTS: usize = 1_024;

#[derive(Debug)]
pub(crate) enum Message {
    Input(Input<Reply>),
    /// The clock was moved by hand: a timer may be due.
    ClockMoved,
    /// The last message.
    Stop,
}

pub(crate) type Reply = oneshot::Sender<Result<Answer, Unavailable>>;

/// Sends to a [`Mailbox`].
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    messages: mpsc::Sender<Message>,
    requests: Arc<AtomicUsize>,
}

/// The durable outcome of a command. If it is dropped before its grant was [kept](Undo::keep), it
/// releases the slots: a client that hung up leaves nothing behind (defect D08).
#[derive(Debug)]
pub(crate) struct Answer {
    outcome: Outcome,
    undo: Undo,
}

/// Releases a grant if it is dropped before the grant was [kept](Self::keep).
#[derive(Debug, Default)]
pub struct Undo(Option<(Command, Sender)>);

#[derive(Debug)]
pub(crate) struct Mailbox {
    messages: mpsc::Receiver<Message>,
    /// How many requests were sent and not yet received.
    requests: Arc<AtomicUsize>,
}

pub(crate) fn new() -> (Sender, Mailbox) {
    let (sender, receiver) = mpsc::channel();
    let requests = Arc::<AtomicUsize>::default();
    let sender = Sender { messages: sender, requests: requests.clone() };
    (sender, Mailbox { messages: receiver, requests })
}

impl Sender {
    pub(crate) fn request(&self, command: Command, reply: Reply) -> Result<(), Unavailable> {
        let is_keeping = matches!(
            command,
            Command::Renew { .. } | Command::Release { .. } | Command::GiveBack(_)
        );
        let most = if is_keeping { REQUESTS_MAX } else { REQUESTS_MAX - KEPT_REQUESTS };
        if self.requests.fetch_add(1, Ordering::Relaxed) >= most {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return Err(Unavailable::Overloaded);
        }
        let request = Message::Input(Input::Request { command, reply });
        self.messages.send(request).map_err(|_| Unavailable::Stopping)
    }

    /// How many requests were sent and not yet received.
    pub(crate) fn requests_waiting(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Sends an input that has no answer. It is never refused for lack of room: there is at most
    /// one for each request. A thread that has stopped needs none.
    pub(crate) fn notify(&self, input: Input<Reply>) {
        let _ = self.messages.send(Message::Input(input));
    }

    pub(crate) fn stop(&self) {
        let _ = self.messages.send(Message::Stop);
    }

    /// Lets a clock that is moved by hand wake the thread.
    pub(crate) fn watch(&self, clock: &Clock) {
        let messages = self.messages.clone();
        clock.when_moved(move || drop(messages.send(Message::ClockMoved)));
    }
}

impl Mailbox {
    /// The next message, or `None` at the time `due`.
    pub(crate) fn next(&self, clock: &Clock, due: Option<Timestamp>) -> Option<Message> {
        // The thread has a sender of its own, so the channel stays open: an error means `due`.
        let message = match due.and_then(|due| clock.until(due)) {
            Some(delay) => self.messages.recv_timeout(delay).ok()?,
            None => self.messages.recv().ok()?,
        };
        Some(self.received(message))
    }

    /// The next message if it is there already.
    pub(crate) fn next_now(&self) -> Option<Message> {
        self.messages.try_recv().ok().map(|message| self.received(message))
    }

    fn received(&self, message: Message) -> Message {
        if let Message::Input(Input::Request { .. }) = message {
            self.requests.fetch_sub(1, Ordering::Relaxed);
        }
        message
    }
}

impl Answer {
    pub(crate) fn new(outcome: Outcome, sender: &Sender) -> Self {
        let undo = desk::undo(&outcome).map(|command| (command, sender.clone()));
        Self { outcome, undo: Undo(undo) }
    }

    pub(crate) fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The outcome, and what releases its grant unless [`Undo::keep`] is called.
    pub(crate) fn into_parts(self) -> (Outcome, Undo) {
        (self.outcome, self.undo)
    }
}

impl Undo {
    /// Keeps the grant: it has reached its client.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some((command, sender)) = self.0.take() {
            // A ledger that has stopped cannot release the slots. The lease's deadline will.
            sender.notify(Input::Undo(command));
        }
    }
}

#[cfg(test)]
mod tests {
    use leasehold_engine::{LeaseId, Page, Query, Scope, Span};

    use super::*;

    fn request(sender: &Sender, command: Command) -> Result<(), Unavailable> {
        sender.request(command, oneshot::channel().0)
    }

    fn read() -> Command {
        Command::Read(Query::Limits(Scope::All, Page { offset: 0, limit: 1 }))
    }

    #[test]
    fn requests_are_refused_while_too_many_wait_and_other_inputs_never() {
        let (sender, mailbox) = new();
        for _ in 0..REQUESTS_MAX - KEPT_REQUESTS {
            request(&sender, read()).unwrap();
        }
        assert_eq!(request(&sender, read()), Err(Unavailable::Overloaded));
        let release = || Command::Release { lease: LeaseId(7) };
        for _ in 0..KEPT_REQUESTS {
            request(&sender, release()).unwrap();
        }
        assert_eq!(request(&sender, release()), Err(Unavailable::Overloaded));
        for _ in 0..KEPT_REQUESTS {
            mailbox.next_now().unwrap();
        }
        sender.notify(Input::Drain);
        assert!(matches!(mailbox.next_now(), Some(Message::Input(Input::Request { .. }))));
        request(&sender, read()).unwrap();
        assert_eq!(request(&sender, read()), Err(Unavailable::Overloaded));
        drop(mailbox);
        let (sender, _) = new();
        assert_eq!(request(&sender, read()), Err(Unavailable::Stopping));
    }

    #[test]
    fn the_mailbox_wakes_at_the_due_time_and_when_the_clock_is_moved() {
        let (sender, mailbox) = new();
        let clock = Clock::manual(Timestamp::from_micros(5));
        sender.watch(&clock);
        let due = Timestamp::from_micros(7);
        assert!(mailbox.next(&clock, Some(clock.now())).is_none());
        let moved = clock.clone();
        let mover = std::thread::spawn(move || moved.advance(due.since(moved.now())));
        assert!(matches!(mailbox.next(&clock, Some(due)), Some(Message::ClockMoved)));
        mover.join().unwrap();
        assert!(mailbox.next(&clock, Some(due)).is_none());

        let system = Clock::system();
        let due = system.now() + Span::from_micros(300);
        assert!(mailbox.next(&system, Some(due)).is_none());
        assert!(system.now() >= due);
    }
}
