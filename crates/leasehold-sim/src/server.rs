//! A server as the design has it: one owner of the ledger, group commit, the next batch
//! stepping while the last one commits, no reply before its changes are durable, and the
//! ledger loaded again after a commit that failed.

use leasehold_engine::{Command, Fence, Ledger, Timestamp, Unleased};

use crate::disk::Disk;
use crate::door::{self, Called, InLine, Served};
use crate::history::Uptime;
use crate::line::{Line, Waits};
use crate::sabotage::{Damage, Sabotage};
use crate::scene::{self, Scene, What};
use crate::wire::{Connection, Reply, Request};

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Of the world, which no clock shows.
    pub(crate) now: u64,
    /// What the wall clock of the server's machine shows.
    pub(crate) wall: i64,
}

/// Replies on their way out, each with the connection that it belongs to. `None`: there will
/// be none, for its client has hung up.
pub(crate) type Replies = Vec<(Connection, Option<Reply>)>;

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
    /// What could be seen of the line.
    pub(crate) scenes: Vec<Scene>,
    sabotage: Option<Sabotage>,
    running: Option<Running>,
}

struct Running {
    ledger: Ledger,
    uptime: Uptime,
    /// Since when nothing is written, on its clock.
    idle_since: Option<i64>,
    committing: Option<Batch>,
    next: Batch,
    line: Line,
    /// Nobody waits any longer.
    is_stopping: bool,
    damage: Damage,
}

/// What was stepped and is to be made durable together.
#[derive(Default)]
struct Batch {
    replies: Vec<Outgoing>,
    /// What gave grants back because their clients had hung up before they heard of them.
    undone: Vec<Command>,
}

struct Outgoing {
    connection: Connection,
    reply: Reply,
    /// What gives a grant back if nobody is there to hear of it.
    undo: Option<Command>,
}

impl Server {
    pub(crate) fn new(sabotage: Option<Sabotage>) -> Self {
        Self { disk: Disk::default(), scenes: Vec::new(), sabotage, running: None }
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
        self.running = Some(Running {
            ledger,
            uptime,
            idle_since: Some(uptime.clock),
            committing: None,
            next: Batch::default(),
            line: Line::default(),
            is_stopping: false,
            damage: Damage::default(),
        });
        self.began(moment);
        uptime
    }

    /// Serves a request. Its reply waits for the commit, unless the server is a broken one.
    pub(crate) fn serve(
        &mut self,
        connection: Connection,
        request: &Request,
        moment: Moment,
    ) -> Option<Reply> {
        let sabotage = self.sabotage;
        let running = self.running.as_mut()?;
        if running.line.gone.contains(&connection) {
            return None;
        }
        let now = running.clock(moment, sabotage);
        let patience = request.patience();
        let in_line = patience.map(|patience| running.line.patience(patience));
        let Running { ledger, damage, .. } = running;
        let Served { reply, place, called } = match sabotage {
            Some(sabotage) => sabotage.serve(ledger, request, in_line, now, damage),
            None => door::serve(ledger, request, in_line, now),
        };
        let undo = door::undo(request);
        let names = request.wants().map_or(&[][..], |(names, _)| names);
        let what = match request.wants() {
            Some(_) => {
                let waiter = in_line.filter(|_| reply.is_none()).map(|line| line.waiter);
                What::Asked { connection, waiter, reply: reply.clone() }
            }
            None => What::Other,
        };
        self.heard(what, called, names.to_vec(), moment);
        let caller = patience.and_then(|patience| patience.caller);
        let running = self.running.as_mut()?;
        let is_stopping = running.is_stopping;
        let reply = match (reply, in_line) {
            (None, Some(line)) if is_stopping => {
                let InLine { waiter, .. } = line;
                running.damage.left(waiter);
                let called = door::abandon(&mut running.ledger, waiter, now);
                self.heard(What::Left { waiter }, called, Vec::new(), moment);
                Reply::Unavailable
            }
            (None, Some(line)) => {
                let names = names.to_vec();
                running.line.waiting.insert(line.waiter, Waits { connection, caller, names, undo });
                return None;
            }
            (reply, _) => reply?,
        };
        let running = self.running.as_mut()?;
        if matches!(reply, Reply::Refused { .. }) {
            running.line.keep(caller, place);
        }
        if sabotage == Some(Sabotage::ReplyBeforeCommit) {
            return Some(reply);
        }
        running.next.replies.push(Outgoing { connection, reply, undo });
        None
    }

    /// Lets time pass, unless a commit is under way: what is due expires, and whoever waits for it is called.
    pub(crate) fn tick(&mut self, moment: Moment) {
        let sabotage = self.sabotage;
        let Some(running) = self.running.as_mut().filter(|r| r.committing.is_none()) else {
            return;
        };
        let now = running.clock(moment, sabotage);
        let mut called = door::step(&mut running.ledger, Command::Tick, now).called;
        if sabotage == Some(Sabotage::ForgetWhomTheClockCalls) {
            called.clear();
        }
        self.heard(What::Other, called, Vec::new(), moment);
    }

    /// A client has hung up: it leaves the line; or its reply, should there be one to come,
    /// is given back.
    pub(crate) fn hang_up(&mut self, connection: Connection, moment: Moment) {
        let sabotage = self.sabotage;
        let Some(running) = &mut self.running else { return };
        let now = running.clock(moment, sabotage);
        let Some(waiter) = running.line.hang_up(connection) else { return };
        running.damage.left(waiter);
        let called = match sabotage {
            Some(Sabotage::ForgetHangUps) => Vec::new(),
            _ => door::abandon(&mut running.ledger, waiter, now),
        };
        self.heard(What::Left { waiter }, called, Vec::new(), moment);
    }

    /// The server is about to stop: nobody waits any longer.
    pub(crate) fn stop(&mut self, moment: Moment) -> Replies {
        let sabotage = self.sabotage;
        let mut replies = Vec::new();
        while let Some(running) = self.running.as_mut() {
            running.is_stopping = true;
            let Some((waiter, waits)) = running.line.waiting.pop_first() else { break };
            running.damage.left(waiter);
            let now = running.clock(moment, sabotage);
            let called = door::abandon(&mut running.ledger, waiter, now);
            replies.push((waits.connection, Some(Reply::Unavailable)));
            self.heard(What::Left { waiter }, called, waits.names, moment);
        }
        replies
    }

    /// Whoever was called is answered with this step's batch.
    fn heard(&mut self, what: What, called: Vec<Called>, names: Vec<String>, moment: Moment) {
        let Some(running) = &mut self.running else { return };
        let told = called.iter().map(|called| (called.waiter, called.reply.clone())).collect();
        let mut names = names;
        for Called { waiter, reply, place } in called {
            running.damage.left(waiter);
            // Who is not there any more has left the line, and is not called.
            let Some(waits) = running.line.waiting.remove(&waiter) else { continue };
            let Waits { connection, caller, names: waited_for, undo } = waits;
            running.line.keep(caller, place);
            running.next.replies.push(Outgoing { connection, reply, undo });
            names.extend(waited_for);
        }
        self.note(what, told, &names, moment);
    }

    fn began(&mut self, moment: Moment) {
        let Some(running) = &self.running else { return };
        let next_fence = running.ledger.snapshot().next_fence.0;
        self.note(What::Began { next_fence }, Vec::new(), &[], moment);
    }

    fn note(&mut self, what: What, called: Vec<(u64, Reply)>, names: &[String], moment: Moment) {
        let sabotage = self.sabotage;
        let Some(Running { ledger, line, uptime, idle_since, .. }) = &mut self.running else {
            return;
        };
        let clock = clock(uptime, moment, sabotage);
        let waiting = line.waiting.values().flat_map(|waits| &waits.names);
        let names = names.iter().chain(waiting).map(String::as_str);
        let boards = scene::boards(ledger, names, clock);
        let clock = ledger.now().as_micros();
        let idle_since = *idle_since;
        self.scenes.push(Scene { now: moment.now, clock, idle_since, what, called, boards });
    }

    /// How long it is until something happens by itself; not known while a commit is under way.
    pub(crate) fn wakes_in(&self, moment: Moment) -> Option<u64> {
        let running = self.running.as_ref().filter(|running| running.committing.is_none())?;
        let ledger = &running.ledger;
        let next = match self.sabotage {
            Some(Sabotage::SleepThroughWaits) => ledger.next_deadline(),
            Some(Sabotage::SleepThroughExpiries) => {
                ledger.next_wake_up().filter(|next| Some(*next) != ledger.next_deadline())
            }
            _ => ledger.next_wake_up(),
        }?;
        Some(next.since(running.clock(moment, self.sabotage)).as_micros())
    }

    /// Begins a commit of what has been stepped, unless one is under way. A heartbeat is
    /// committed although nothing has changed: it carries the time.
    pub(crate) fn begin(&mut self, is_heartbeat: bool) -> Begun {
        let Some(running) = self.running.as_mut().filter(|r| r.committing.is_none()) else {
            return Begun::Nothing;
        };
        let changes = running.ledger.take_changes();
        let batch = std::mem::take(&mut running.next);
        if changes.is_empty() && !is_heartbeat {
            // No grant is new here: there is nothing to give back of those who have hung up.
            let gone = &running.line.gone;
            let replies: Replies = batch
                .replies
                .into_iter()
                .map(|out| (out.connection, (!gone.contains(&out.connection)).then_some(out.reply)))
                .collect();
            return if replies.is_empty() { Begun::Nothing } else { Begun::Answered(replies) };
        }
        self.disk.begin(changes);
        running.committing = Some(batch);
        running.idle_since = None;
        Begun::Commit
    }

    /// Ends the commit that is under way. When it failed, everybody in it, behind it and in
    /// line is told so, and the ledger is what the disk has.
    pub(crate) fn finish(&mut self, moment: Moment) -> Replies {
        let is_durable = self.disk.finish(moment.now);
        let Some(running) = &mut self.running else {
            return Vec::new();
        };
        let mut batch = running.committing.take().unwrap_or_default();
        running.idle_since = Some(running.clock(moment, self.sabotage).as_micros());
        if is_durable {
            return self.deliver(batch.replies, moment);
        }
        batch.replies.append(&mut running.next.replies);
        batch.undone.append(&mut running.next.undone);
        let mut replies: Replies = batch
            .replies
            .into_iter()
            .map(|out| (out.connection, Some(Reply::Unavailable)))
            .collect();
        if self.sabotage != Some(Sabotage::KeepMemoryAfterFailedCommit) {
            let now = running.clock(moment, self.sabotage);
            // Their places were in the ledger that is forgotten now.
            for (waiter, connection) in running.line.send_away() {
                running.damage.left(waiter);
                replies.push((connection, Some(Reply::Unavailable)));
            }
            let ledger = self.load(now);
            if let Some(running) = &mut self.running {
                running.ledger = ledger;
            }
            self.began(moment);
            for undo in batch.undone {
                self.undo(undo, moment);
            }
        }
        replies
    }

    /// A grant whose client has hung up is given back. With an idempotency key it stays.
    fn deliver(&mut self, replies: Vec<Outgoing>, moment: Moment) -> Replies {
        let mut delivered = Vec::new();
        for Outgoing { connection, reply, undo } in replies {
            let Some(running) = &mut self.running else { break };
            if !running.line.gone.contains(&connection) {
                delivered.push((connection, Some(reply)));
                continue;
            }
            delivered.push((connection, None));
            // Whoever held everything already was granted nothing.
            if let (Reply::Granted { lease, .. }, Some(undo)) = (reply, undo)
                && (lease.is_some() || matches!(undo, Command::GiveBack(_)))
                && self.sabotage != Some(Sabotage::KeepUndelivered)
            {
                self.undo(undo, moment);
            }
        }
        delivered
    }

    fn undo(&mut self, undo: Command, moment: Moment) {
        let sabotage = self.sabotage;
        let Some(running) = &mut self.running else { return };
        let now = running.clock(moment, sabotage);
        let called = door::step(&mut running.ledger, undo.clone(), now).called;
        running.next.undone.push(undo);
        self.heard(What::Other, called, Vec::new(), moment);
    }

    /// The power fails. Answers the connections that will have no reply.
    pub(crate) fn crash(&mut self, is_written: bool) -> Vec<Connection> {
        self.disk.lose_power(is_written);
        let Some(mut running) = self.running.take() else {
            return Vec::new();
        };
        let waiting = running.line.send_away().into_iter().map(|(_, connection)| connection);
        let batches = running.committing.into_iter().chain([running.next]);
        let replies = batches.flat_map(|batch| batch.replies).map(|out| out.connection);
        replies.chain(waiting).collect()
    }

    fn load(&mut self, now: Timestamp) -> Ledger {
        let mut snapshot = self.disk.load();
        match self.sabotage {
            Some(Sabotage::SkipDowntimeExtension) => snapshot.at = now,
            Some(Sabotage::ExtendTwice) => snapshot.at = snapshot.at - now.since(snapshot.at),
            Some(Sabotage::ForgetUnleased) => {
                for limit in &mut snapshot.limits {
                    limit.unleased = Unleased::default();
                }
            }
            Some(Sabotage::ReuseFences) => {
                let fences = snapshot.leases.iter().map(|lease| lease.fence.0);
                snapshot.next_fence = Fence(fences.max().unwrap_or(0) + 1);
            }
            _ => {}
        }
        let mut ledger = Ledger::restore(snapshot, now);
        if self.sabotage != Some(Sabotage::ReuseFences) {
            ledger.raise_fences(now);
        }
        ledger
    }
}

impl Running {
    fn clock(&self, moment: Moment, sabotage: Option<Sabotage>) -> Timestamp {
        clock(&self.uptime, moment, sabotage)
    }
}

fn clock(uptime: &Uptime, moment: Moment, sabotage: Option<Sabotage>) -> Timestamp {
    if sabotage == Some(Sabotage::TrustWallClock) {
        return Timestamp::from_micros(moment.wall);
    }
    let elapsed = moment.now - uptime.from;
    Timestamp::from_micros(uptime.clock.saturating_add_unsigned(elapsed))
}
