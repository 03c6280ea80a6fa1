//! Ways to break the gateway, so that a test shows that the checkers find each of them.

/// What a gateway between two owners does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// It reads the upstream's count before the requests under way came back.
    CountBeforeReturn,
    /// It takes a limit over without the slots that the upstream counts.
    ForgetForeign,
    /// It ignores that the upstream's count rises while a limit is its own.
    IgnoreRise,
    /// Its ledger goes on granting while a limit is on its way back.
    GrantWhileReturning,
    /// It gives a limit back and lets the upstream count nothing for the leases that live on here.
    ForgetCovers,
    /// After a restart, it grants what was on its way back, as if nothing had been begun.
    ForgetWayBack,
    /// It answers for the upstream that it does not know a lease.
    AnswerForUpstream,
    /// It passes the release of its own lease on to the upstream.
    PassReleasesOn,
    /// It gives what the upstream counts for a lease back twice.
    GiveBackTwice,
    /// It gives phantoms back again if it heard no answer.
    RepeatGiveBacks,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::CountBeforeReturn,
        Self::ForgetForeign,
        Self::IgnoreRise,
        Self::GrantWhileReturning,
        Self::ForgetCovers,
        Self::ForgetWayBack,
        Self::AnswerForUpstream,
        Self::PassReleasesOn,
        Self::GiveBackTwice,
        Self::RepeatGiveBacks,
    ];
}
