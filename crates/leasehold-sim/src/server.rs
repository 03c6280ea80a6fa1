//! A server as the design has it: one owner of the ledger, group commit, the next batch
//! stepping while the last one commits, no reply before its changes are durable, and the
//! ledger loaded again after a commit that failed.

use leasehold_engine::{Fence, Ledger, Level, Timestamp};

use crate::disk::Disk;
use crate::door;
use crate::history::Uptime;
use crate::sabotage::Sabotage;
use crate::wire::{Reply, Request};

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Of the world, which no clock shows.
    pub(crate) now: u64,
    /// What the wall clock of the server's machine shows.
    pub(crate) wall: i64,
}

/// Replies on their way out, each with the exchange that it belongs to.
pub(crate) type Replies = Vec<(usize, Reply)>;

/// What became of the attempt to begin a commit.
pub(crate) enum Begun {
    /// One is under way already, or there is nothing to do.
    Nothing,
    /// Nothing had changed: these replies may leave at once.
    Answered(Replies),
    /// A commit is under way now.
    Commit,
}

pub(crate) struct Server {
    pub(crate) disk: Disk,
    sabotage: Option<Sabotage>,
    running: Option<Running>,
}

struct Running {
    ledger: Ledger,
    uptime: Uptime,
    committing: Option<Replies>,
    next: Replies,
    /// The leases granted since the start; a broken server needs them to do damage.
    granted: Vec<u64>,
}

impl Server {
    pub(crate) fn new(sabotage: Option<Sabotage>) -> Self {
        Self { disk: Disk::default(), sabotage, running: None }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts on what the disk has. The clock never shows less than the ledger has seen, and
    /// from then on it runs evenly, whatever is done to the wall clock.
    pub(crate) fn start(&mut self, moment: Moment) -> Uptime {
        let seen = self.disk.load().at.as_micros();
        let uptime = Uptime { from: moment.now, clock: moment.wall.max(seen), until: None };
        let ledger = self.load(Timestamp::from_micros(uptime.clock));
        let (committing, next, granted) = (None, Vec::new(), Vec::new());
        self.running = Some(Running { ledger, uptime, committing, next, granted });
        uptime
    }

    /// Serves a request. Its reply waits for the commit, unless the server is a broken one.
    pub(crate) fn serve(
        &mut self,
        exchange: usize,
        request: &Request,
        moment: Moment,
    ) -> Option<Reply> {
        let sabotage = self.sabotage;
        let running = self.running.as_mut()?;
        let now = running.clock(moment, sabotage);
        let reply = match sabotage {
            Some(sabotage) => {
                sabotage.serve(&mut running.ledger, request, now, &mut running.granted)
            }
            None => door::serve(&mut running.ledger, request, now),
        };
        if sabotage == Some(Sabotage::ReplyBeforeCommit) {
            return Some(reply);
        }
        running.next.push((exchange, reply));
        None
    }

    /// Lets time pass: what is due expires.
    pub(crate) fn tick(&mut self, moment: Moment) {
        let sabotage = self.sabotage;
        if let Some(running) = &mut self.running {
            let now = running.clock(moment, sabotage);
            running.ledger.step(leasehold_engine::Command::Tick, now);
        }
    }

    /// How long it is until there is something to expire.
    pub(crate) fn wakes_in(&self, moment: Moment) -> Option<u64> {
        let running = self.running.as_ref()?;
        let deadline = running.ledger.next_deadline()?;
        Some(deadline.since(running.clock(moment, self.sabotage)).as_micros())
    }

    /// Begins a commit of what has been stepped, unless one is under way. A heartbeat is
    /// committed although nothing has changed: it carries the time.
    pub(crate) fn begin(&mut self, is_heartbeat: bool) -> Begun {
        let Some(running) = self.running.as_mut().filter(|r| r.committing.is_none()) else {
            return Begun::Nothing;
        };
        let changes = running.ledger.take_changes();
        let replies = std::mem::take(&mut running.next);
        if changes.is_empty() && !is_heartbeat {
            return if replies.is_empty() { Begun::Nothing } else { Begun::Answered(replies) };
        }
        self.disk.begin(changes);
        running.committing = Some(replies);
        Begun::Commit
    }

    /// Ends the commit that is under way. When it failed, everybody in it and behind it is
    /// told so, and the ledger is what the disk has.
    pub(crate) fn finish(&mut self, moment: Moment) -> Replies {
        let is_durable = self.disk.finish(moment.now);
        let sabotage = self.sabotage;
        let Some(running) = &mut self.running else {
            return Vec::new();
        };
        let mut replies = running.committing.take().unwrap_or_default();
        if is_durable {
            return replies;
        }
        replies.append(&mut running.next);
        if sabotage != Some(Sabotage::KeepMemoryAfterFailedCommit) {
            let now = running.clock(moment, sabotage);
            let ledger = self.load(now);
            if let Some(running) = &mut self.running {
                running.ledger = ledger;
            }
        }
        replies.into_iter().map(|(exchange, _)| (exchange, Reply::Unavailable)).collect()
    }

    /// The power fails. Answers the exchanges that will have no reply.
    pub(crate) fn crash(&mut self, is_written: bool) -> Vec<usize> {
        self.disk.lose_power(is_written);
        let Some(running) = self.running.take() else {
            return Vec::new();
        };
        let replies = running.committing.into_iter().flatten().chain(running.next);
        replies.map(|(exchange, _)| exchange).collect()
    }

    fn load(&mut self, now: Timestamp) -> Ledger {
        let mut snapshot = self.disk.load();
        match self.sabotage {
            Some(Sabotage::SkipDowntimeExtension) => snapshot.at = now,
            Some(Sabotage::ExtendTwice) => snapshot.at = snapshot.at - now.since(snapshot.at),
            Some(Sabotage::ForgetUnleased) => {
                for limit in &mut snapshot.limits {
                    limit.unleased = Level::ZERO;
                }
            }
            Some(Sabotage::ReuseFences) => {
                let fences = snapshot.leases.iter().map(|lease| lease.fence.0);
                snapshot.next_fence = Fence(fences.max().unwrap_or(0) + 1);
            }
            _ => {}
        }
        Ledger::restore(snapshot, now)
    }
}

impl Running {
    fn clock(&self, moment: Moment, sabotage: Option<Sabotage>) -> Timestamp {
        if sabotage == Some(Sabotage::TrustWallClock) {
            return Timestamp::from_micros(moment.wall);
        }
        let elapsed = moment.now - self.uptime.from;
        Timestamp::from_micros(self.uptime.clock.saturating_add_unsigned(elapsed))
    }
}
