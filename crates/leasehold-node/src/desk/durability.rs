//! What the desk asks of the journal, and what it does when the journal fails.

use leasehold_engine::{Changes, Command, Departure, EventKind, Snapshot, Span, Timestamp};
use leasehold_journal::{CommitError, LoadError};

use super::Desk;
use super::messages::{Input, Stepped, Unavailable};
use crate::chain::chain;

/// How old the time in the journal may get. After a restart, it says when the server was last up.
const HEARTBEAT: Span = Span::from_seconds(1);
/// How long the desk leaves a failed journal alone, unless a request wants a change.
pub(super) const PAUSE: Span = Span::from_micros(500_000);
/// The pause lasts at least this many times as long as it took to load the ledger again.
const LOAD_SHARE: u64 = 4;
/// How long to wait before loading the journal is tried again.
pub(super) const RELOAD_DELAY: Span = Span::from_micros(500_000);

/// The desk's state towards the journal.
#[derive(Debug)]
pub(super) enum State<R> {
    /// Changes are committed as they come.
    Serving,
    /// A commit is running.
    Committing {
        /// It moves deadlines because of a downtime.
        moves_deadlines: bool,
        /// The previous commit failed.
        is_retry: bool,
    },
    /// The last commit failed, and the ledger was loaded again.
    Paused {
        /// When to try again if no request wants a change before.
        until: Timestamp,
    },
    /// The last commit failed, and the ledger is ahead of the journal until it is loaded again.
    Unloaded(Unloaded<R>),
}

#[derive(Debug)]
pub(super) struct Unloaded<R> {
    /// When to load the journal.
    load_at: Timestamp,
    /// Loading failed before.
    is_retry: bool,
    /// The end of the pause after the commit that failed.
    paused_until: Timestamp,
    /// The commands of that commit that are stepped again.
    again: Vec<(Command, Option<R>)>,
    /// The inputs since then, except requests.
    pub(super) deferred: Vec<Input<R>>,
}

impl<R> Desk<R> {
    /// Begins a commit. Returns the changes to make durable before the stepped commands are
    /// answered. `None` if there are none, or if the journal is not tried now.
    pub fn commit(&mut self) -> Option<Changes> {
        let is_retry = match &self.state {
            State::Serving => false,
            State::Paused { until } => {
                let wants_change = self.stepped.iter().any(|stepped| stepped.again.is_none());
                if self.looked_at < *until && !wants_change {
                    self.answer_reads();
                    return None;
                }
                true
            }
            State::Committing { .. } | State::Unloaded(_) => return None,
        };
        let changes = self.ledger.take_changes();
        let is_heartbeat_due =
            self.ledger.next_deadline().is_some() && changes.at >= self.committed_at + HEARTBEAT;
        if changes.is_empty() && !is_heartbeat_due {
            // Only reads and refusals: everything that they depend on is durable.
            self.answer_all();
            return None;
        }
        Some(self.begin_commit(changes, is_retry))
    }

    fn begin_commit(&mut self, changes: Changes, is_retry: bool) -> Changes {
        self.committed_at = changes.at;
        let moves_deadlines = changes.resumed.is_some();
        self.state = State::Committing { moves_deadlines, is_retry };
        changes
    }

    /// The changes are durable.
    pub fn committed(&mut self, now: Timestamp) {
        let State::Committing { moves_deadlines, is_retry } = self.state else { return };
        self.state = State::Serving;
        if moves_deadlines {
            // A commit that moves very many deadlines takes long itself, and must not move them
            // again.
            self.looked(now);
        } else {
            self.look(now);
        }
        self.answer_all();
        if is_retry {
            tracing::info!("changes can be made durable again");
        }
    }

    /// The commit failed: its changes have not happened, and are answered as unavailable. Events of
    /// joining and leaving the queue are still returned.
    pub fn failed(&mut self, error: &CommitError, now: Timestamp) {
        let State::Committing { is_retry, .. } = self.state else { return };
        // Logged once: while the disk is full, every attempt fails the same way.
        if !is_retry {
            tracing::error!(error = %chain(error), "changes could not be made durable");
        }
        self.send_waiters_away(Departure::JournalFailed, Unavailable::Journal, now);
        self.pending_events.retain(|it| matches!(it.kind, EventKind::Queued | EventKind::Left(_)));
        self.events.append(&mut self.pending_events);
        let mut again = Vec::new();
        for Stepped { reply, again: command, .. } in self.stepped.drain(..) {
            match (command, reply) {
                (Some(command), reply) => again.push((command, reply)),
                (None, Some(reply)) => self.answers.push((reply, Err(Unavailable::Journal))),
                (None, None) => {}
            }
        }
        self.state = State::Unloaded(Unloaded {
            load_at: now,
            is_retry: false,
            paused_until: now + PAUSE,
            again,
            deferred: Vec::new(),
        });
    }

    /// When to load the journal again. `None` if the ledger is not ahead of it.
    pub fn load_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Unloaded(unloaded) => Some(unloaded.load_at),
            _ => None,
        }
    }

    /// Takes in what the journal returned. `took` is how long loading it took.
    pub fn loaded(&mut self, snapshot: Snapshot, took: Span, now: Timestamp) {
        let State::Unloaded(unloaded) = &mut self.state else { return };
        // Loading a large ledger can take longer than the pause, and reads must go on in between.
        let time_to_read = Span::from_micros(took.as_micros() * LOAD_SHARE);
        let until = unloaded.paused_until.max(now + time_to_read);
        let again = std::mem::take(&mut unloaded.again);
        let deferred = std::mem::take(&mut unloaded.deferred);
        self.state = State::Paused { until };
        self.committed_at = snapshot.at;
        self.ledger.reload(snapshot, now);
        self.looked(now);
        for (command, reply) in again {
            self.step_again(command, reply, now);
        }
        for input in deferred {
            self.input(input, now);
        }
        self.answer_reads();
    }

    /// The journal could not be loaded. Until it can, all requests are answered as unavailable.
    pub fn load_failed(&mut self, error: &LoadError, now: Timestamp) {
        let State::Unloaded(unloaded) = &mut self.state else { return };
        if !std::mem::replace(&mut unloaded.is_retry, true) {
            tracing::error!(error = %chain(error), "the journal cannot be read");
        }
        unloaded.load_at = now + RELOAD_DELAY;
    }

    /// Begins the last commit, whose time says until when holders could renew. `None` if the ledger
    /// is ahead of the journal: then it must not become durable.
    pub fn close(&mut self, now: Timestamp) -> Option<Changes> {
        if let State::Unloaded(unloaded) = &mut self.state {
            let replies = unloaded.again.drain(..).filter_map(|(_, reply)| reply);
            self.answers.extend(replies.map(|reply| (reply, Err(Unavailable::Stopping))));
            return None;
        }
        self.input(Input::Drain, now);
        self.step(Command::Tick, now);
        let changes = self.ledger.take_changes();
        // What fails here is lost for good, and is logged even if a commit before it failed.
        Some(self.begin_commit(changes, false))
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        match &self.state {
            State::Unloaded(unloaded) => return Some(unloaded.load_at),
            State::Paused { until } if self.looked_at < *until => return Some(*until),
            _ => {}
        }
        let heartbeat = self.ledger.next_deadline().map(|_| self.committed_at + HEARTBEAT);
        heartbeat.into_iter().chain(self.ledger.next_wake_up()).min()
    }

    fn answer_all(&mut self) {
        let answered = self.stepped.drain(..);
        let answered = answered.filter_map(|it| Some((it.reply?, Ok(it.outcome))));
        self.answers.extend(answered);
        self.events.append(&mut self.pending_events);
    }

    /// Answers only reads. They show what is durable: since the journal failed, the only other
    /// commands stepped are ticks and undos of grants.
    fn answer_reads(&mut self) {
        let is_read = |it: &mut Stepped<R>| matches!(it.again, Some(Command::Read(_)));
        let reads = self.stepped.extract_if(.., is_read);
        self.answers.extend(reads.filter_map(|it| Some((it.reply?, Ok(it.outcome)))));
    }
}
