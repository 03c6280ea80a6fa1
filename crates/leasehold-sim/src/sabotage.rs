//! Ways to be broken, so that the checkers can show that they bite.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use leasehold_engine::{Ledger, Ticket, Timestamp};

use crate::door::{self, Called, InLine, Served};
use crate::wire::{Granted, Reply, Request};

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
}

/// What a broken server needs to remember to do its damage.
#[derive(Default)]
pub(crate) struct Damage {
    /// The leases granted since the start.
    granted: Vec<u64>,
    /// Who waits.
    waiting: BTreeMap<u64, Waits>,
    served: u64,
}

/// What somebody waits for.
struct Waits {
    request: Request,
    until: i64,
    place: Option<Ticket>,
}

impl Damage {
    /// Somebody has left the line.
    pub(crate) fn left(&mut self, waiter: u64) {
        self.waiting.remove(&waiter);
    }
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 28] = [
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
    ];

    /// Serves a request, wrongly if it is one of those that this is about.
    pub(crate) fn serve(
        self,
        ledger: &mut Ledger,
        request: &Request,
        in_line: Option<InLine>,
        now: Timestamp,
        damage: &mut Damage,
    ) -> Served {
        let at = ledger.now().max(now).as_micros();
        let answer = |reply| Served { reply: Some(reply), ..Served::default() };
        match (self, request) {
            (Self::ForgetReleases, Request::Release { .. }) => answer(Reply::Done { at }),
            (Self::ForgetRenewals, Request::Renew { ttl, .. }) => {
                answer(Reply::Renewed { at, deadline: Some(at.saturating_add_unsigned(*ttl)) })
            }
            (Self::FreeTwice, Request::Release { lease }) => {
                let mut served = door::serve(ledger, request, None, now);
                damage.granted.retain(|other| other != lease);
                if let Some(lease) = damage.granted.pop() {
                    let release = Request::Release { lease };
                    served.called.extend(door::serve(ledger, &release, None, now).called);
                }
                served
            }
            (Self::FreeTwice, Request::Acquire { lease, .. }) => {
                let served = door::serve(ledger, request, in_line, now);
                if matches!(served.reply, Some(Reply::Granted { lease: Some(_), .. })) {
                    damage.granted.push(*lease);
                }
                served
            }
            (
                Self::AdmitOneMore | Self::DrainFaster | Self::DrainSlower,
                Request::Create { .. },
            ) => door::serve(ledger, &self.created_wrongly(request), None, now),
            (Self::OutliveDeadlines, Request::Acquire { .. }) => {
                outlive(ledger, request, in_line, now)
            }
            (Self::ForgetLineAtChanges, Request::Patch { .. }) => {
                for waiter in damage.waiting.keys() {
                    door::abandon(ledger, *waiter, now);
                }
                damage.waiting.clear();
                door::serve(ledger, request, None, now)
            }
            (Self::BelieveEdits, Request::Patch { name, taken_max: Some(slots @ 1..), .. }) => {
                let taken = Request::Increment {
                    name: name.clone(),
                    slots: *slots,
                    is_rate: false,
                    patience: None,
                };
                door::serve(ledger, &taken, None, now);
                door::serve(ledger, request, None, now)
            }
            (_, Request::Acquire { .. }) => {
                self.wait_wrongly(ledger, request, in_line, now, damage)
            }
            _ => door::serve(ledger, request, in_line, now),
        }
    }

    /// A limit as it was not asked for.
    fn created_wrongly(self, request: &Request) -> Request {
        let mut request = request.clone();
        if let Request::Create { slots, nanos_per_second, .. } = &mut request {
            match self {
                Self::DrainFaster => *nanos_per_second += *nanos_per_second / 10,
                Self::DrainSlower => *nanos_per_second /= 100,
                _ if *nanos_per_second == 0 => *slots += 1,
                _ => {}
            }
        }
        request
    }

    /// An acquire that waits otherwise than it was asked to.
    fn wait_wrongly(
        self,
        ledger: &mut Ledger,
        request: &Request,
        in_line: Option<InLine>,
        now: Timestamp,
        damage: &mut Damage,
    ) -> Served {
        damage.served += 1;
        let called = match self {
            Self::NeverReserve => forget_who_was_overtaken(ledger, now, damage),
            _ => Vec::new(),
        };
        let mut request = request.clone();
        let mut in_line = in_line;
        if let Request::Acquire { lease, patience: Some(patience), .. } = &mut request
            && let Some(line) = &mut in_line
        {
            match self {
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
        let mut served = door::serve(ledger, &request, in_line, now);
        if let (None, Some(InLine { waiter, wait, .. })) = (&served.reply, in_line) {
            let until = ledger.now().as_micros().saturating_add_unsigned(wait);
            damage.waiting.insert(waiter, Waits { request, until, place: served.place });
        }
        served.called.splice(..0, called);
        served
    }
}

/// Everybody leaves the line and comes back to the same place, as if nobody had gone before it:
/// the youngest first, for else the older ones would count as often overtaken as those behind.
fn forget_who_was_overtaken(ledger: &mut Ledger, now: Timestamp, damage: &Damage) -> Vec<Called> {
    let mut line: Vec<_> = damage.waiting.iter().collect();
    line.sort_by_key(|(_, waits)| Reverse(waits.place));
    let mut called: Vec<Called> = Vec::new();
    for (&waiter, Waits { request, until, place }) in line {
        if called.iter().any(|called| called.waiter == waiter) {
            continue;
        }
        called.extend(door::abandon(ledger, waiter, now));
        let left = until.saturating_sub(ledger.now().as_micros());
        let in_line = InLine { waiter, wait: u64::try_from(left).unwrap_or(0), place: *place };
        let served = door::serve(ledger, request, Some(in_line), now);
        let place = served.place;
        called.extend(served.reply.map(|reply| Called { waiter, reply, place }));
        called.extend(served.called);
    }
    called
}

/// Grants for longer than is told.
fn outlive(
    ledger: &mut Ledger,
    request: &Request,
    in_line: Option<InLine>,
    now: Timestamp,
) -> Served {
    const LONGER: u64 = 600_000_000;
    let mut request = request.clone();
    if let Request::Acquire { ttl, .. } = &mut request {
        *ttl += LONGER;
    }
    let mut served = door::serve(ledger, &request, in_line, now);
    let replies = served.called.iter_mut().map(|called| &mut called.reply);
    for reply in replies.chain(&mut served.reply) {
        if let Reply::Granted { lease: Some(Granted { deadline, .. }), .. } = reply {
            *deadline = deadline.map(|at| at.saturating_sub_unsigned(LONGER));
        }
    }
    served
}
