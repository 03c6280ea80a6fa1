//! Ways to break the server, so that a test shows that the checkers find each of them. A sabotage
//! acts around the desk: on its inputs, on its outputs, and on what the journal returns.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use leasehold_engine::{Acquire, Command, Fence, Snapshot, Ticket, Timestamp, Unleased, WaiterId};
use leasehold_node::{Desk, Input};

use crate::clients::{MOVED, MOVED_ID};
use crate::door::{self, InLine};
use crate::wire::{Connection, Granted, Reply, Request};

/// By how much leases outlive their deadlines.
const LONGER: u64 = 600_000_000;

/// What a server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// Replies leave before their changes are durable.
    ReplyBeforeCommit,
    /// After a failed commit, the server keeps the ledger in memory and does not reload it.
    KeepMemoryAfterFailedCommit,
    /// The server confirms a release and does nothing.
    ForgetReleases,
    /// A release also ends another lease.
    FreeTwice,
    /// The server confirms a renewal and does nothing.
    ForgetRenewals,
    /// A downtime does not extend deadlines.
    SkipDowntimeExtension,
    /// A downtime extends deadlines by twice its length.
    ExtendTwice,
    /// A restart or a reload forgets unleased slots.
    ForgetUnleased,
    /// After a restart, fences continue from the greatest one among the leases that still exist.
    ReuseFences,
    /// The server's clock follows steps of the wall clock.
    TrustWallClock,
    /// Limits without decay get one slot more than requested.
    AdmitOneMore,
    /// Limits with decay drain a tenth faster than requested.
    DrainFaster,
    /// Limits with decay drain a hundred times slower than requested.
    DrainSlower,
    /// Leases outlive the deadline in their replies.
    OutliveDeadlines,
    /// The server does not wake up when a limit has drained or a wait ends.
    SleepThroughWaits,
    /// The server does not wake up when a lease expires.
    SleepThroughExpiries,
    /// Waiters that a tick grants or refuses get no reply.
    ForgetWhomTheClockCalls,
    /// When an operator changes a limit, all waiters leave the queue and get no reply.
    ForgetLineAtChanges,
    /// A client that has hung up stays in the queue.
    ForgetHangUps,
    /// A grant stays though its client hung up before the reply.
    KeepUndelivered,
    /// The newest waiter goes first.
    LastComeFirst,
    /// All waiters have the same priority.
    IgnorePriorities,
    /// No slots are reserved for a waiter that is overtaken again and again.
    NeverReserve,
    /// A client that polls goes to the end of the queue each time.
    ForgetPlaces,
    /// Waits end after half the requested time.
    LosePatienceEarly,
    /// Waits take twice the requested time.
    LosePatienceLate,
    /// A request with a known idempotency key gets a new lease.
    ForgetKeys,
    /// An edit takes as many slots as it names, though no request took them.
    BelieveEdits,
    /// After a failed commit, the server tries the journal again at once, though no request wants a
    /// change.
    ForgetPause,
    /// After a failure, the reloaded ledger numbers places from zero, as a restored one does.
    RestoreInsteadOfReload,
    /// A read in a failed batch gets no reply.
    DropFailedReads,
    /// A server that is about to stop still lets requests wait, and grants them.
    GrantWhileDraining,
    /// A restart or a reload forgets the slots that another server counts.
    ForgetForeign,
    /// The server confirms how many slots another server counts, and does nothing.
    IgnoreForeign,
    /// A reset also frees the slots that another server counts.
    ResetForeign,
    /// A restart or a reload forgets that a limit is on its way back.
    ForgetWayBack,
    /// The server confirms that a limit is on its way back, and grants its slots.
    IgnoreWayBack,
    /// When a limit is on its way back, all waiters leave the queue and get no reply.
    ForgetLineOnWayBack,
    /// A restart or a reload forgets the partners of leases.
    ForgetPartners,
}

/// A request for the desk, with what the desk needs to take it in.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) connection: Connection,
    pub(crate) request: &'a Request,
    pub(crate) in_line: Option<InLine>,
    pub(crate) now: Timestamp,
}

impl Asked<'_> {
    pub(crate) fn take_in(self, desk: &mut Desk<Connection>) {
        for command in door::commands(self.request, self.in_line, self.now) {
            self.input(desk, command);
        }
    }

    fn input(self, desk: &mut Desk<Connection>, command: Command) {
        desk.input(Input::Request { command, reply: self.connection }, self.now);
    }
}

/// What a sabotaged server remembers.
#[derive(Default)]
pub(crate) struct Damage {
    /// Requests whose next reply is dropped.
    pub(crate) dropped: HashSet<Connection>,
    /// The leases granted since the start.
    granted: Vec<u64>,
    /// The requests in the queue, by waiter.
    waiting: BTreeMap<u64, (Connection, Acquire)>,
    served: u64,
    /// How many tickets the ledger has issued.
    tickets: u64,
    /// How many places were given, and how many of them before the last reload.
    places: u64,
    places_forgotten: u64,
}

impl Damage {
    /// Records that a waiter has left the queue.
    pub(crate) fn left(&mut self, waiter: u64) {
        self.waiting.remove(&waiter);
    }

    pub(crate) fn all_left(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn reloaded(&mut self) {
        self.places_forgotten = self.places;
    }

    /// Records the lease of a grant.
    pub(crate) fn granted(&mut self, request: &Request, reply: &Reply) {
        if let (Request::Acquire { lease, .. }, Reply::Granted { lease: Some(_), .. }) =
            (request, reply)
        {
            self.granted.push(*lease);
        }
    }

    /// Records that a request was refused or waits. The ledger issues a ticket for it unless it
    /// came back to a place.
    pub(crate) fn numbered(&mut self, line: InLine, reply: Option<&Reply>) {
        if line.place.is_some() || !matches!(reply, None | Some(Reply::Refused { .. })) {
            return;
        }
        if let Some((_, Acquire { patience: Some(patience), .. })) =
            self.waiting.get_mut(&line.waiter)
        {
            patience.place = Some(Ticket(self.tickets));
        }
        self.tickets += 1;
    }

    /// The place in a refusal, wrong under [`Sabotage::RestoreInsteadOfReload`].
    pub(crate) fn place(
        &mut self,
        sabotage: Option<Sabotage>,
        place: Option<Ticket>,
    ) -> Option<Ticket> {
        let Ticket(number) = place?;
        self.places = self.places.max(number + 1);
        let is_new = number >= self.places_forgotten;
        let anew = sabotage == Some(Sabotage::RestoreInsteadOfReload) && is_new;
        Some(Ticket(if anew { number - self.places_forgotten } else { number }))
    }
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 39] = [
        Self::ReplyBeforeCommit,
        Self::KeepMemoryAfterFailedCommit,
        Self::ForgetReleases,
        Self::FreeTwice,
        Self::ForgetRenewals,
        Self::SkipDowntimeExtension,
        Self::ExtendTwice,
        Self::ForgetUnleased,
        Self::ReuseFences,
        Self::TrustWallClock,
        Self::AdmitOneMore,
        Self::DrainFaster,
        Self::DrainSlower,
        Self::OutliveDeadlines,
        Self::SleepThroughWaits,
        Self::SleepThroughExpiries,
        Self::ForgetWhomTheClockCalls,
        Self::ForgetLineAtChanges,
        Self::ForgetHangUps,
        Self::KeepUndelivered,
        Self::LastComeFirst,
        Self::IgnorePriorities,
        Self::NeverReserve,
        Self::ForgetPlaces,
        Self::LosePatienceEarly,
        Self::LosePatienceLate,
        Self::ForgetKeys,
        Self::BelieveEdits,
        Self::ForgetPause,
        Self::RestoreInsteadOfReload,
        Self::DropFailedReads,
        Self::GrantWhileDraining,
        Self::ForgetForeign,
        Self::IgnoreForeign,
        Self::ResetForeign,
        Self::ForgetWayBack,
        Self::IgnoreWayBack,
        Self::ForgetLineOnWayBack,
        Self::ForgetPartners,
    ];

    /// Falsifies what the journal returned.
    pub(crate) fn load(self, snapshot: &mut Snapshot, now: Timestamp) {
        match self {
            Self::SkipDowntimeExtension => snapshot.at = now,
            Self::ExtendTwice => snapshot.at = snapshot.at - now.since(snapshot.at),
            Self::ForgetUnleased => {
                for limit in &mut snapshot.limits {
                    limit.unleased = Unleased::default();
                }
            }
            Self::ForgetForeign => {
                snapshot.limits.iter_mut().for_each(|limit| limit.foreign = 0);
            }
            Self::ForgetWayBack => {
                snapshot.limits.iter_mut().for_each(|limit| limit.returning = false);
            }
            Self::ForgetPartners => {
                snapshot.leases.iter_mut().for_each(|lease| lease.partners.clear());
            }
            Self::ReuseFences => {
                let fences = snapshot.leases.iter().map(|lease| lease.fence.0);
                snapshot.next_fence = Fence(fences.max().unwrap_or(0) + 1);
            }
            _ => {}
        }
    }

    /// When the server wakes up.
    pub(crate) fn next_wake_up(self, desk: &mut Desk<Connection>) -> Option<Timestamp> {
        let due = desk.next_wake_up();
        let expiry = desk.ledger().next_deadline();
        match self {
            Self::SleepThroughWaits if due == desk.ledger().next_wake_up() => expiry,
            Self::SleepThroughExpiries => due.filter(|_| due != expiry),
            _ => due,
        }
    }

    /// What the client receives instead of this reply.
    pub(crate) fn reply(self, request: &Request, mut reply: Reply) -> Reply {
        match (self, request, &mut reply) {
            (Self::ForgetRenewals, Request::Renew { ttl, .. }, Reply::Done { at }) => {
                Reply::Renewed { at: *at, deadline: Some(at.saturating_add_unsigned(*ttl)) }
            }
            (
                Self::OutliveDeadlines,
                Request::Acquire { .. },
                Reply::Granted { lease: Some(Granted { deadline, .. }), .. },
            ) => {
                *deadline = deadline.map(|at| at.saturating_sub_unsigned(LONGER));
                reply
            }
            _ => reply,
        }
    }

    /// Takes a request in, wrongly if this sabotage concerns it.
    pub(crate) fn take_in(
        self,
        desk: &mut Desk<Connection>,
        asked: Asked<'_>,
        damage: &mut Damage,
    ) {
        let mut request = asked.request.clone();
        let unasked = |desk: &mut Desk<_>, command| desk.input(Input::Undo(command), asked.now);
        match (self, &mut request) {
            (Self::ForgetReleases, Request::Release { .. })
            | (Self::ForgetRenewals, Request::Renew { .. })
            | (Self::IgnoreForeign, Request::SetForeign { .. })
            | (Self::IgnoreWayBack, Request::SetReturning { .. }) => {
                return asked.input(desk, Command::Tick);
            }
            (Self::FreeTwice, Request::Release { lease }) => {
                damage.granted.retain(|other| other != lease);
                if let Some(lease) = damage.granted.pop() {
                    let release = door::commands(&Request::Release { lease }, None, asked.now);
                    release.into_iter().for_each(|command| unasked(desk, command));
                }
            }
            (Self::AdmitOneMore, Request::Create { slots, nanos_per_second: 0, .. }) => *slots += 1,
            (Self::DrainFaster, Request::Create { nanos_per_second, .. }) => {
                *nanos_per_second += *nanos_per_second / 10;
            }
            (Self::DrainSlower, Request::Create { nanos_per_second, .. }) => {
                *nanos_per_second /= 100;
            }
            (Self::OutliveDeadlines, Request::Acquire { ttl, .. }) => *ttl += LONGER,
            (Self::ResetForeign, Request::Reset { name, .. }) if name == MOVED.name => {
                let foreign = Request::SetForeign { id: MOVED_ID, name: name.clone(), slots: 0 };
                let freed = door::commands(&foreign, None, asked.now);
                freed.into_iter().for_each(|command| unasked(desk, command));
            }
            (Self::ForgetLineAtChanges, Request::Patch { .. })
            | (Self::ForgetLineOnWayBack, Request::SetReturning { is_returning: true, .. }) => {
                for (waiter, _) in std::mem::take(&mut damage.waiting) {
                    desk.input(Input::Abandon(WaiterId(waiter)), asked.now);
                }
            }
            (Self::BelieveEdits, Request::Patch { name, taken_max: Some(slots @ 1..), .. }) => {
                let (name, slots, is_rate) = (name.clone(), *slots, false);
                let taken = Request::Increment { name, slots, is_rate, patience: None };
                let taken = door::commands(&taken, None, asked.now);
                taken.into_iter().for_each(|command| unasked(desk, command));
            }
            (_, Request::Acquire { .. }) => return self.wait_wrongly(desk, asked, damage),
            _ => {}
        }
        Asked { request: &request, ..asked }.take_in(desk);
    }

    /// Takes in an acquire, and falsifies how it waits.
    fn wait_wrongly(self, desk: &mut Desk<Connection>, asked: Asked<'_>, damage: &mut Damage) {
        damage.served += 1;
        let mut request = asked.request.clone();
        let mut in_line = asked.in_line;
        if let Request::Acquire { lease, patience: Some(patience), .. } = &mut request
            && let Some(line) = &mut in_line
        {
            match self {
                Self::NeverReserve => forget_who_was_overtaken(desk, asked.now, damage),
                Self::LastComeFirst => {
                    patience.priority = i32::try_from(damage.served).unwrap_or(i32::MAX);
                }
                Self::IgnorePriorities => patience.priority = 0,
                Self::ForgetPlaces => line.place = None,
                Self::LosePatienceEarly => line.wait /= 2,
                Self::LosePatienceLate => line.wait *= 2,
                Self::ForgetKeys if patience.has_key => *lease += 1_000_000_000 * damage.served,
                _ => {}
            }
        }
        for command in door::commands(&request, in_line, asked.now) {
            if let (Command::Acquire(acquire), Some(line)) = (&command, in_line) {
                damage.waiting.insert(line.waiter, (asked.connection, acquire.clone()));
            }
            asked.input(desk, command);
        }
    }
}

/// Makes each waiter leave the queue and come back to its place, which resets its count of
/// overtakes. The newest goes first: otherwise, an older waiter would count as overtaken as often
/// as the ones behind it.
fn forget_who_was_overtaken(desk: &mut Desk<Connection>, now: Timestamp, damage: &Damage) {
    let mut line: Vec<_> = damage.waiting.iter().collect();
    line.sort_by_key(|(_, (_, acquire))| Reverse(acquire.patience.and_then(|it| it.place)));
    for (&waiter, (connection, acquire)) in line {
        if desk.stepped().iter().any(|stepped| stepped.reply == Some(*connection)) {
            continue;
        }
        desk.input(Input::Abandon(WaiterId(waiter)), now);
        let command = Command::Acquire(acquire.clone());
        desk.input(Input::Request { command, reply: *connection }, now);
    }
}
