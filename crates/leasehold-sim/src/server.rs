//! The server that ships, without its thread: the desk with simulated time, storage and clients.
//! Like the thread, it takes messages in only while no commit runs.

mod messages;
mod running;

use std::collections::{HashMap, VecDeque};

use leasehold_engine::Timestamp;
use leasehold_node::Desk;

use self::messages::Seen;
pub(crate) use self::messages::{Message, Moment, Replies};
use self::running::Running;
use crate::disk::Disk;
use crate::history::Uptime;
use crate::line::Line;
use crate::sabotage::{Damage, Sabotage};
use crate::scene::What;
use crate::wire::{Connection, Request};

/// How long the server leaves a failed journal alone, as documented.
pub(crate) const PAUSE: u64 = 500_000;

pub(crate) struct Server {
    pub(crate) disk: Disk,
    pub(crate) seen: Seen,
    sabotage: Option<Sabotage>,
    running: Option<Running>,
}

impl Server {
    pub(crate) fn new(sabotage: Option<Sabotage>) -> Self {
        Self { disk: Disk::default(), seen: Seen::default(), sabotage, running: None }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.disk.is_writing()
    }

    /// Starts with what is on the disk. The clock starts no earlier than the time in the journal,
    /// and runs evenly from then on: it ignores steps of the wall clock.
    pub(crate) fn start(&mut self, moment: Moment) -> Uptime {
        let mut snapshot = self.disk.load(u64::MAX).unwrap_or_default();
        let clock = moment.wall.max(snapshot.at.as_micros());
        let uptime = Uptime { from: moment.now, clock, until: None };
        let now = Timestamp::from_micros(clock);
        if let Some(sabotage) = self.sabotage {
            sabotage.load(&mut snapshot, now);
        }
        let running = self.running.insert(Running {
            desk: Desk::open(snapshot, now),
            uptime,
            mailbox: VecDeque::new(),
            line: Line::default(),
            pictures: HashMap::new(),
            replies: Vec::new(),
            steps_seen: 0,
            idle_since: Some(clock),
            wants_change: true,
            sabotage: self.sabotage,
            damage: Damage::default(),
        });
        let next_fence = running.next_fence();
        running.note(What::Began { next_fence }, Vec::new(), &[], moment, &mut self.seen);
        uptime
    }

    /// Puts a message into the mailbox, for [`Self::work`] to take in.
    pub(crate) fn receive(&mut self, message: Message) {
        let Some(running) = &mut self.running else { return };
        if let Message::HangUp(connection) = message {
            running.line.gone.insert(connection);
        }
        running.mailbox.push_back(message);
    }

    /// Takes in the messages in the mailbox and begins the next commit, unless a commit runs.
    pub(crate) fn work(&mut self, moment: Moment) -> Replies {
        let Some(running) = &mut self.running else { return Vec::new() };
        while !self.disk.is_writing() {
            for _ in 0..Desk::<Connection>::BATCH_MAX {
                let Some(message) = running.mailbox.pop_front() else { break };
                running.take_in(message, moment, &mut self.seen);
            }
            running.settle(&mut self.disk, moment, &mut self.seen);
            if running.mailbox.is_empty() {
                break;
            }
        }
        std::mem::take(&mut running.replies)
    }

    /// Wakes the desk at the time that it asked for, unless a commit runs.
    pub(crate) fn tick(&mut self, moment: Moment) -> Replies {
        if let Some(running) = self.running.as_mut().filter(|_| !self.disk.is_writing()) {
            let now = running.clock(moment);
            running.desk.wake(now);
            if running.sabotage == Some(Sabotage::ForgetWhomTheClockCalls) {
                let called = &running.desk.stepped()[running.steps_seen..];
                running.damage.dropped.extend(called.iter().filter_map(|stepped| stepped.reply));
                running.steps_seen = running.desk.stepped().len();
            }
            running.look(What::Other, None, &[], moment, &mut self.seen);
        }
        self.work(moment)
    }

    /// How long until the desk wants to be woken. Unknown while a commit runs.
    pub(crate) fn wakes_in(&mut self, moment: Moment) -> Option<u64> {
        let running = self.running.as_mut().filter(|_| !self.disk.is_writing())?;
        let next = match running.sabotage {
            Some(sabotage) => sabotage.next_wake_up(&mut running.desk),
            None => running.desk.next_wake_up(),
        };
        Some(next?.since(running.clock(moment)).as_micros())
    }

    /// Ends the running commit. If it failed, its changes and all waiters are answered as
    /// unavailable, and the ledger is loaded from the disk.
    pub(crate) fn finish(&mut self, moment: Moment) -> Replies {
        let result = self.disk.finish(moment.now);
        let Some(running) = &mut self.running else { return Vec::new() };
        let now = running.clock(moment);
        running.idle_since = Some(now.as_micros());
        match result {
            Ok(()) => running.desk.committed(now),
            Err(_) if running.sabotage == Some(Sabotage::KeepMemoryAfterFailedCommit) => {
                running.desk.committed(now);
                running.deliver(true);
            }
            Err(error) => {
                if running.sabotage == Some(Sabotage::DropFailedReads) {
                    let open = running.line.open.iter();
                    let looks = open.filter(|(_, open)| matches!(open.request, Request::Look));
                    running.damage.dropped.extend(looks.map(|(connection, _)| *connection));
                }
                running.desk.failed(&error, now);
                running.idle_since = Some(now.as_micros().saturating_add_unsigned(PAUSE));
                running.wants_change = false;
                running.line.breaks_up();
                running.damage.all_left();
                if let Some(attempt) = self.seen.attempts.last_mut() {
                    attempt.failed = Some(moment.now);
                }
            }
        }
        running.steps_seen = 0;
        running.load_if_due(&mut self.disk, moment, &mut self.seen);
        running.deliver(false);
        self.work(moment)
    }

    /// Stops the server cleanly. No commit may be running.
    pub(crate) fn close(&mut self, moment: Moment) -> Replies {
        let Some(running) = &mut self.running else { return Vec::new() };
        let now = running.clock(moment);
        if let Some(changes) = running.desk.close(now) {
            self.disk.begin(changes);
            match self.disk.finish(moment.now) {
                Ok(()) => running.desk.committed(now),
                Err(error) => running.desk.failed(&error, now),
            }
        }
        running.deliver(false);
        std::mem::take(&mut running.replies)
    }

    /// Cuts the power. Returns the connections that get no reply.
    pub(crate) fn crash(&mut self, is_written: bool) -> Vec<Connection> {
        self.disk.lose_power(is_written);
        let Some(running) = self.running.take() else { return Vec::new() };
        let unread = running.mailbox.into_iter().filter_map(|message| match message {
            Message::Request(connection, _) => Some(connection),
            Message::HangUp(_) | Message::Undo(_) | Message::Drain => None,
        });
        running.line.open.into_keys().chain(unread).collect()
    }
}
