//! A running server: the desk, its mailbox, and what an observer records of it.

use std::collections::{HashMap, VecDeque};

use leasehold_engine::{LimitView, Outcome, Span, Timestamp, WaiterId};
use leasehold_node::{Desk, Input};

use super::messages::{Message, Moment, Replies, Seen};
use crate::disk::Disk;
use crate::door::{self, InLine};
use crate::history::{Attempt, Uptime};
use crate::line::{Line, Open};
use crate::sabotage::{Asked, Damage, Sabotage};
use crate::scene::{self, Scene, What};
use crate::wire::{Connection, Reply, Request};

pub(super) struct Running {
    pub(super) desk: Desk<Connection>,
    pub(super) uptime: Uptime,
    pub(super) mailbox: VecDeque<Message>,
    pub(super) line: Line,
    /// The limits of a picture whose leases are not read yet. `None`: they are unavailable.
    pub(super) pictures: HashMap<Connection, Option<Vec<LimitView>>>,
    pub(super) replies: Replies,
    /// How many of the desk's steps were recorded.
    pub(super) steps_seen: usize,
    /// Since when no commit runs, on its clock. After a failed commit, the end of the pause.
    pub(super) idle_since: Option<i64>,
    /// Whether a request wanted a change since the journal failed. True if it never failed.
    pub(super) wants_change: bool,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) damage: Damage,
}

impl Running {
    pub(super) fn clock(&self, moment: Moment) -> Timestamp {
        if self.sabotage == Some(Sabotage::TrustWallClock) {
            return Timestamp::from_micros(moment.wall);
        }
        let elapsed = moment.now - self.uptime.from;
        Timestamp::from_micros(self.uptime.clock.saturating_add_unsigned(elapsed))
    }

    pub(super) fn next_fence(&self) -> u64 {
        self.desk.ledger().snapshot().next_fence.0
    }

    pub(super) fn take_in(&mut self, message: Message, moment: Moment, seen: &mut Seen) {
        let now = self.clock(moment);
        match message {
            Message::Request(connection, request) => {
                self.request(connection, request, moment, seen);
            }
            Message::HangUp(connection) => {
                let Some(waiter) = self.line.leaves(connection) else { return };
                self.damage.left(waiter);
                let open = self.line.open.get(&connection);
                let names = open.map(|open| open.names().to_vec()).unwrap_or_default();
                if self.sabotage == Some(Sabotage::ForgetHangUps) {
                    self.damage.dropped.insert(connection);
                } else {
                    self.desk.input(Input::Abandon(WaiterId(waiter)), now);
                    self.line.open.remove(&connection);
                }
                self.replies.push((connection, None));
                self.look(What::Left { waiter }, None, &names, moment, seen);
            }
            Message::Undo(command) => {
                self.desk.input(Input::Undo(command), now);
                self.look(What::Other, None, &[], moment, seen);
            }
            Message::Drain => {
                if self.sabotage != Some(Sabotage::GrantWhileDraining) {
                    self.desk.input(Input::Drain, now);
                    self.deliver(false);
                    self.damage.all_left();
                }
                self.look(What::Stopping, None, &[], moment, seen);
            }
        }
    }

    fn request(
        &mut self,
        connection: Connection,
        request: Request,
        moment: Moment,
        seen: &mut Seen,
    ) {
        if self.line.gone.contains(&connection) {
            self.replies.push((connection, None));
            return;
        }
        let now = self.clock(moment);
        let is_available = self.desk.load_at().is_none();
        let patience = request.patience().filter(|_| is_available);
        let in_line = patience.map(|patience| self.line.patience(patience));
        self.wants_change |= is_available && !matches!(request, Request::Look);
        let asked = Asked { connection, request: &request, in_line, now };
        match self.sabotage {
            Some(sabotage) => sabotage.take_in(&mut self.desk, asked, &mut self.damage),
            None => asked.take_in(&mut self.desk),
        }
        let at = self.desk.ledger().now().as_micros();
        let place = in_line.and_then(|line| line.place);
        self.line.open.insert(connection, Open { request, at, place });
        // A desk whose ledger is not loaded answers at once.
        self.deliver(false);
        if is_available {
            self.look(What::Other, Some((connection, in_line)), &[], moment, seen);
        }
    }

    /// Records what a step did: the waiters that it answered, and its reply to the request that it
    /// took in, if it took one in.
    pub(super) fn look(
        &mut self,
        what: What,
        asked: Option<(Connection, Option<InLine>)>,
        names: &[String],
        moment: Moment,
        seen: &mut Seen,
    ) {
        // While the ledger is ahead of the journal, nothing is stepped, and nothing is recorded.
        if self.desk.load_at().is_some() {
            return;
        }
        let at = self.desk.ledger().now().as_micros();
        let (mut own, mut called, mut names) = (None, Vec::new(), names.to_vec());
        let fresh: Vec<_> = self.desk.stepped()[self.steps_seen..]
            .iter()
            .filter_map(|stepped| Some((stepped.reply?, stepped.outcome.clone())))
            .collect();
        self.steps_seen = self.desk.stepped().len();
        for (connection, outcome) in fresh {
            let Some(open) = self.line.open.get_mut(&connection) else { continue };
            open.at = at;
            let place = self.damage.place(self.sabotage, door::place(&outcome));
            let reply = door::reply(outcome, at);
            self.damage.granted(&open.request, &reply);
            let waited = self.line.leaves(connection);
            self.line.keep(connection, place);
            match (asked, waited) {
                (Some((asking, _)), None) if asking == connection => own = Some(reply),
                (_, Some(waiter)) => {
                    names.extend(self.line.open[&connection].names().iter().cloned());
                    called.push((waiter, reply));
                    self.damage.left(waiter);
                }
                _ => {}
            }
        }
        let what = match asked {
            Some((connection, in_line)) => self.asked(connection, in_line, own, &mut names),
            None => what,
        };
        self.note(what, called, &names, moment, seen);
    }

    /// What is recorded of a request.
    fn asked(
        &mut self,
        connection: Connection,
        in_line: Option<InLine>,
        reply: Option<Reply>,
        names: &mut Vec<String>,
    ) -> What {
        let Some(open) = self.line.open.get(&connection) else {
            let reply = Some(Reply::Unavailable);
            return What::Asked { connection, waiter: None, reply };
        };
        let wants = open.request.wants().is_some();
        names.extend(open.names().iter().cloned());
        if self.sabotage == Some(Sabotage::ReplyBeforeCommit)
            && !matches!(open.request, Request::Look)
            && let Some(reply) = &reply
        {
            self.replies.push((connection, Some(reply.clone())));
            self.damage.dropped.insert(connection);
        }
        if let Some(line) = in_line {
            self.damage.numbered(line, reply.as_ref());
        }
        let mut waiter = in_line.map(|line| line.waiter);
        if reply.is_some()
            && let Some(answered) = waiter.take()
        {
            self.damage.left(answered);
        }
        self.line.waiting.extend(waiter.map(|waiter| (waiter, connection)));
        if wants { What::Asked { connection, waiter, reply } } else { What::Other }
    }

    pub(super) fn note(
        &mut self,
        what: What,
        called: Vec<(u64, Reply)>,
        names: &[String],
        moment: Moment,
        seen: &mut Seen,
    ) {
        let names: Vec<_> = names.iter().chain(self.line.names()).collect();
        let ledger = self.desk.ledger();
        let boards = scene::boards(ledger, &names);
        let (now, clock, idle_since) = (moment.now, ledger.now().as_micros(), self.idle_since);
        seen.scenes.push(Scene { now, clock, idle_since, what, called, boards });
    }

    /// Begins a commit of what was stepped, or delivers the answers if there is nothing to write.
    pub(super) fn settle(&mut self, disk: &mut Disk, moment: Moment, seen: &mut Seen) {
        let changes = self.desk.commit();
        let is_paused = self.idle_since.is_some_and(|idle| idle > self.clock(moment).as_micros());
        let is_hammering = self.sabotage == Some(Sabotage::ForgetPause) && is_paused;
        if changes.is_some() || is_hammering {
            let is_wanted = self.wants_change;
            seen.attempts.push(Attempt { began: moment.now, is_wanted, failed: None });
        }
        if let Some(changes) = changes {
            disk.begin(changes);
            self.idle_since = None;
        }
        self.load_if_due(disk, moment, seen);
        self.deliver(false);
        self.steps_seen = self.desk.stepped().len();
    }

    pub(super) fn load_if_due(&mut self, disk: &mut Disk, moment: Moment, seen: &mut Seen) {
        let now = self.clock(moment);
        if self.desk.load_at().is_none_or(|at| at > now) {
            return;
        }
        match disk.load(moment.now) {
            Ok(mut snapshot) => {
                if let Some(sabotage) = self.sabotage {
                    sabotage.load(&mut snapshot, now);
                }
                self.damage.reloaded();
                self.desk.loaded(snapshot, Span::ZERO, now);
                let at = self.desk.ledger().now().as_micros();
                self.line.open.values_mut().for_each(|open| open.at = at);
                let next_fence = self.next_fence();
                self.note(What::Reloaded { next_fence }, Vec::new(), &[], moment, seen);
            }
            Err(error) => self.desk.load_failed(&error, now),
        }
        self.steps_seen = self.desk.stepped().len();
    }

    /// Delivers the desk's answers, or `Unavailable` in their place if they are lost. Undoes each
    /// grant whose client has hung up.
    pub(super) fn deliver(&mut self, are_lost: bool) {
        let answers: Vec<_> = self.desk.answers().collect();
        for (connection, answer) in answers {
            let answer = answer.ok().filter(|_| !are_lost);
            let Some(open) = self.line.open.get(&connection) else { continue };
            let is_look = matches!(open.request, Request::Look);
            if is_look && !self.pictures.contains_key(&connection) {
                let limits = match answer {
                    Some(Outcome::Limits(limits)) => Some(limits),
                    _ => None,
                };
                self.pictures.insert(connection, limits);
                continue;
            }
            let Some(Open { request, at, .. }) = self.line.open.remove(&connection) else {
                continue;
            };
            self.line.leaves(connection);
            let limits = self.pictures.remove(&connection).flatten();
            if self.damage.dropped.remove(&connection) {
                continue;
            }
            let undo = answer.as_ref().and_then(leasehold_node::undo);
            let reply = match (answer, limits) {
                (Some(Outcome::Leases(leases)), Some(limits)) => {
                    door::picture(limits, &leases.unwrap_or_default(), at)
                }
                (Some(outcome), None) => door::reply(outcome, at),
                _ => Reply::Unavailable,
            };
            if !self.line.gone.contains(&connection) {
                let reply = match self.sabotage {
                    Some(sabotage) => sabotage.reply(&request, reply),
                    None => reply,
                };
                self.replies.push((connection, Some(reply)));
                continue;
            }
            self.replies.push((connection, None));
            if self.sabotage != Some(Sabotage::KeepUndelivered) {
                self.mailbox.extend(undo.map(Message::Undo));
            }
        }
    }
}
