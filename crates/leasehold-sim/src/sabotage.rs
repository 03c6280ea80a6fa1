//! Ways to be broken, so that the checkers can show that they bite. All of it is done around the
//! desk: to what goes in, to what comes out, and to what the journal gives back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use leasehold_engine::{Acquire, Command, Fence, Snapshot, Ticket, Timestamp, Unleased, WaiterId};
use leasehold_node::{Desk, Input};

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
    /// After a commit that failed, the ledger in memory goes on.
    KeepMemoryAfterFailedCommit,
    /// A release is answered, and nothing is done.
    ForgetReleases,
    /// A release frees somebody else's lease, too.
    FreeTwice,
    /// A renewal is answered, and nothing is done.
    ForgetRenewals,
    /// Deadlines pass while the server is down.
    SkipDowntimeExtension,
    /// A downtime is counted twice.
    ExtendTwice,
    /// A restart forgets the slots that no lease holds.
    ForgetUnleased,
    /// After a restart, fences go on from the greatest that is still there.
    ReuseFences,
    /// Steps of the wall clock are believed.
    TrustWallClock,
    /// Limits without decay have one slot more than was asked for.
    AdmitOneMore,
    /// Limits with decay drain a tenth faster than was asked for.
    DrainFaster,
    /// Limits with decay drain a hundred times slower than was asked for.
    DrainSlower,
    /// Leases live on after the deadline that was told.
    OutliveDeadlines,
    /// Nobody looks when a rate limit has drained, or when somebody has waited long enough.
    SleepThroughWaits,
    /// Nobody looks when a lease expires.
    SleepThroughExpiries,
    /// Whoever waited until a time has come is called, and not answered.
    ForgetWhomTheClockCalls,
    /// Nobody in line is looked at when an operator changes a limit, nor ever after.
    ForgetLineAtChanges,
    /// A client that has hung up stays in line.
    ForgetHangUps,
    /// A grant stays whose client has hung up before it was answered.
    KeepUndelivered,
    /// Whoever comes last goes first.
    LastComeFirst,
    /// All wait as if they had the same priority.
    IgnorePriorities,
    /// Nothing is ever kept for those who are overtaken again and again.
    NeverReserve,
    /// A client that polls goes to the end of the line each time.
    ForgetPlaces,
    /// Nobody waits longer than half the time that was asked for.
    LosePatienceEarly,
    /// Everybody waits longer than was asked for.
    LosePatienceLate,
    /// A request with a key that was used before is a new one.
    ForgetKeys,
    /// An edit takes as many slots as it says, though nobody took them.
    BelieveEdits,
    /// A journal that failed is tried again at once, though no request wants a change.
    ForgetPause,
    /// The ledger that is loaded after a failure numbers the places in line anew, as one that was
    /// restored does.
    RestoreInsteadOfReload,
    /// A read in a batch that failed is not answered.
    DropFailedReads,
    /// Requests go on to wait, and are granted, when the server is about to stop.
    GrantWhileDraining,
}

/// A request on its way to the desk.
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

/// What a broken server needs to remember to do its damage.
#[derive(Default)]
pub(crate) struct Damage {
    /// Requests whose next answer goes nowhere.
    pub(crate) dropped: HashSet<Connection>,
    /// The leases granted since the start.
    granted: Vec<u64>,
    /// Who waits.
    waiting: BTreeMap<u64, (Connection, Acquire)>,
    served: u64,
    /// How many tickets the ledger has given.
    tickets: u64,
    /// How many places were given, and how many of them before the journal failed last.
    places: u64,
    places_forgotten: u64,
}

impl Damage {
    /// Somebody has left the line.
    pub(crate) fn left(&mut self, waiter: u64) {
        self.waiting.remove(&waiter);
    }

    pub(crate) fn all_left(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn reloaded(&mut self) {
        self.places_forgotten = self.places;
    }

    /// A reply was made.
    pub(crate) fn granted(&mut self, request: &Request, reply: &Reply) {
        if let (Request::Acquire { lease, .. }, Reply::Granted { lease: Some(_), .. }) =
            (request, reply)
        {
            self.granted.push(*lease);
        }
    }

    /// A request was answered, or waits. The ledger gives it a ticket if it was not granted, and
    /// did not come back to a place.
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

    /// The place that a refusal is given.
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
    pub const ALL: [Self; 32] = [
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
    ];

    /// What the journal is said to have kept.
    pub(crate) fn load(self, snapshot: &mut Snapshot, now: Timestamp) {
        match self {
            Self::SkipDowntimeExtension => snapshot.at = now,
            Self::ExtendTwice => snapshot.at = snapshot.at - now.since(snapshot.at),
            Self::ForgetUnleased => {
                for limit in &mut snapshot.limits {
                    limit.unleased = Unleased::default();
                }
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

    /// What a client reads instead of the reply to its request.
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

    /// Takes a request in, wrongly if it is one of those that this is about.
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
            | (Self::ForgetRenewals, Request::Renew { .. }) => {
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
            (Self::ForgetLineAtChanges, Request::Patch { .. }) => {
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

    /// An acquire that waits otherwise than it was asked to.
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

/// Everybody leaves the line and comes back to the same place, as if nobody had gone before it:
/// the youngest first, for else the older ones would count as often overtaken as those behind.
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
