//! The ledger of the gateway: the desk that ships, on a journal that survives a crash. Each command
//! is durable before it is answered. The process can die right before or right after any of them.

use leasehold_engine::{Command, Event, Ledger, Outcome, Timestamp};
use leasehold_journal::{Journal, MemoryJournal};
use leasehold_node::{Desk, Input};

/// The process died.
#[derive(Debug)]
pub(crate) struct Crash;

/// When the process dies: after so many commands, before or after the last one is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fuse {
    pub(crate) commands: u64,
    pub(crate) is_durable: bool,
}

pub(crate) struct Books {
    desk: Desk<u64>,
    commands: u64,
    /// The answers to waiters, each with the number of its request.
    pub(crate) woken: Vec<(u64, Outcome)>,
    pub(crate) events: Vec<Event>,
    pub(crate) fuse: Option<Fuse>,
}

impl Books {
    pub(crate) fn open(journal: &mut MemoryJournal, now: Timestamp) -> Self {
        let snapshot = journal.load().unwrap_or_default();
        let (woken, events) = (Vec::new(), Vec::new());
        Self { desk: Desk::open(snapshot, now), commands: 0, woken, events, fuse: None }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        self.desk.ledger()
    }

    /// Runs a command. Returns its outcome, or the number under which [`Self::woken`] will have it.
    pub(crate) fn tell(
        &mut self,
        command: Command,
        journal: &mut MemoryJournal,
        now: Timestamp,
    ) -> Result<Result<Outcome, u64>, Crash> {
        let burns = self.fuse.as_mut().is_some_and(|fuse| {
            fuse.commands = fuse.commands.saturating_sub(1);
            fuse.commands == 0
        });
        if burns && self.fuse.is_some_and(|fuse| !fuse.is_durable) {
            return Err(Crash);
        }
        self.commands += 1;
        let number = self.commands;
        self.desk.input(Input::Request { command, reply: number }, now);
        self.settle(journal, now);
        if burns {
            return Err(Crash);
        }
        match self.woken.iter().position(|(of, _)| *of == number) {
            Some(at) => Ok(Ok(self.woken.remove(at).1)),
            None => Ok(Err(number)),
        }
    }

    /// Lets time pass.
    pub(crate) fn wake(&mut self, journal: &mut MemoryJournal, now: Timestamp) {
        self.desk.passed_evenly_until(now);
        self.desk.wake(now);
        self.settle(journal, now);
    }

    fn settle(&mut self, journal: &mut MemoryJournal, now: Timestamp) {
        if let Some(changes) = self.desk.commit() {
            match journal.commit(&changes) {
                Ok(()) => self.desk.committed(now),
                Err(error) => self.desk.failed(&error, now),
            }
        }
        let answers =
            self.desk.answers().filter_map(|(number, answer)| Some((number, answer.ok()?)));
        self.woken.extend(answers);
        self.events.extend(self.desk.events());
        // The world wakes the desk often, and never too late.
        let _ = self.desk.next_wake_up();
    }
}
