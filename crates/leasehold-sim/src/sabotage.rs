//! Ways to be broken, so that the checkers can show that they bite.

use leasehold_engine::{Ledger, Timestamp};

use crate::door;
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
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 14] = [
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
    ];

    /// Serves a request, wrongly if it is one of those that this is about.
    pub(crate) fn serve(
        self,
        ledger: &mut Ledger,
        request: &Request,
        now: Timestamp,
        granted: &mut Vec<u64>,
    ) -> Reply {
        let at = ledger.now().max(now).as_micros();
        match (self, request) {
            (Self::ForgetReleases, Request::Release { .. }) => Reply::Done { at },
            (Self::ForgetRenewals, Request::Renew { ttl, .. }) => {
                Reply::Renewed { at, deadline: Some(at.saturating_add_unsigned(*ttl)) }
            }
            (Self::FreeTwice, Request::Release { lease }) => {
                let reply = door::serve(ledger, request, now);
                granted.retain(|other| other != lease);
                if let Some(lease) = granted.pop() {
                    door::serve(ledger, &Request::Release { lease }, now);
                }
                reply
            }
            (Self::FreeTwice, Request::Acquire { lease, .. }) => {
                let reply = door::serve(ledger, request, now);
                if matches!(reply, Reply::Granted { lease: Some(_), .. }) {
                    granted.push(*lease);
                }
                reply
            }
            (
                Self::AdmitOneMore | Self::DrainFaster | Self::DrainSlower,
                Request::Create { .. },
            ) => {
                let mut request = request.clone();
                if let Request::Create { slots, nanos_per_second, .. } = &mut request {
                    match self {
                        Self::DrainFaster => *nanos_per_second += *nanos_per_second / 10,
                        Self::DrainSlower => *nanos_per_second /= 100,
                        _ if *nanos_per_second == 0 => *slots += 1,
                        _ => {}
                    }
                }
                door::serve(ledger, &request, now)
            }
            (Self::OutliveDeadlines, Request::Acquire { .. }) => {
                const LONGER: u64 = 600_000_000;
                let mut request = request.clone();
                if let Request::Acquire { ttl, .. } = &mut request {
                    *ttl += LONGER;
                }
                let mut reply = door::serve(ledger, &request, now);
                if let Reply::Granted { lease: Some(Granted { deadline, .. }), .. } = &mut reply {
                    *deadline = deadline.map(|at| at.saturating_sub_unsigned(LONGER));
                }
                reply
            }
            _ => door::serve(ledger, request, now),
        }
    }
}
