//! One function for each command. Each returns the kind of outcome that its command has, once it is
//! durable, or fails with [`Unavailable`].

use std::sync::Arc;

use leasehold_engine::{
    Acquire, Acquired, Adopt, Command, CreateLimit, Created, Deleted, Ended, GiveBack, Gone,
    HeldView, Holder, Identified, Lease, LeaseFilter, LeaseId, LeaseView, LimitId, LimitPatch,
    LimitRef, LimitView, MinimalLimit, Outcome, Page, Query, Renewed, Scope, Span, Updated,
    WaiterView,
};
use smallvec::SmallVec;

use super::{Handle, Wait};
use crate::desk::Unavailable;
use crate::mailbox::Undo;

/// Defines a function for each row, from its command and the kind of outcome that it has.
macro_rules! calls {
    ($(
        $(#[$doc:meta])*
        $name:ident($($argument:ident: $type:ty),*) -> $returns:ty
            = $command:expr => $outcome:ident;
    )*) => {
        impl Handle {
            $(
                $(#[$doc])*
                pub async fn $name(&self, $($argument: $type),*) -> Result<$returns, Unavailable> {
                    match self.send($command).await?.into_parts().0 {
                        Outcome::$outcome(outcome) => Ok(outcome),
                        other => unreachable!("the outcome of another command: {other:?}"),
                    }
                }
            )*
        }
    };
}

impl Handle {
    /// Takes slots if they are free now. [`Undo`] releases them unless it is kept.
    pub async fn try_acquire(&self, acquire: Acquire) -> Result<(Acquired, Undo), Unavailable> {
        match self.send(Command::Acquire(acquire)).await?.into_parts() {
            (Outcome::Acquired(acquired), undo) => Ok((acquired, undo)),
            (other, _) => unreachable!("the outcome of another command: {other:?}"),
        }
    }

    /// Takes slots, and waits for them if they are not free. If the future is dropped meanwhile,
    /// the request leaves the queue. The wait fails if the journal fails or the server stops.
    pub async fn acquire(
        &self,
        mut acquire: Acquire,
        wait: Wait,
    ) -> Result<(Acquired, Undo), Unavailable> {
        let (patience, mut waiting) = self.patience(wait);
        acquire.patience = Some(patience);
        let answer = self.try_acquire(acquire).await;
        waiting.is_answered();
        answer
    }
}

calls! {
    /// Releases slots that were taken without a lease. Returns the limits that exist.
    give_back(give_back: GiveBack) -> SmallVec<[MinimalLimit; 1]>
        = Command::GiveBack(give_back) => GivenBack;

    /// Releases the tags that a holder holds. Returns the limits that exist.
    release_tags(names: Vec<Arc<str>>, holder: Holder) -> SmallVec<[MinimalLimit; 1]>
        = Command::ReleaseTags { names, holder } => GivenBack;

    /// Renews a lease: moves its deadline.
    renew(lease: LeaseId, ttl: Span) -> Renewed
        = Command::Renew { lease, ttl } => Renewed;

    /// Renews many leases. Returns the outcome of each, in their order.
    renew_many(leases: Vec<LeaseId>, ttl: Span) -> Vec<Renewed>
        = Command::RenewMany { leases, ttl } => RenewedMany;

    /// Releases everything that a lease holds.
    release(lease: LeaseId) -> Result<Ended, Gone>
        = Command::Release { lease } => Ended;

    /// Revokes a lease, for an operator.
    revoke(lease: LeaseId, reason: Option<Arc<str>>, by: Option<Arc<str>>) -> Result<Ended, Gone>
        = Command::Revoke { lease, reason, by } => Ended;

    /// Ends leases of a holder that is known to be gone. Returns them.
    repossess(holder: Holder, with_deadline: bool, evidence: Arc<str>) -> Vec<Lease>
        = Command::Repossess { holder, with_deadline, evidence } => Repossessed;

    /// Records in which runs a lease was requested. Returns whether the lease lives.
    identify(lease: LeaseId, identified: Arc<Identified>) -> bool
        = Command::Identify { lease, identified } => Identified;

    /// Creates a limit.
    create_limit(create: CreateLimit) -> Created
        = Command::CreateLimit(create) => Created;

    /// Creates the limit of a tag with this id, or changes the slots of the existing one.
    put_tag_limit(id: LimitId, name: Arc<str>, slots: u64) -> Created
        = Command::PutTagLimit { id, name, slots } => Created;

    /// Changes the fields that a patch names.
    update_limit(limit: LimitRef, patch: LimitPatch) -> Updated
        = Command::UpdateLimit { limit, patch } => Updated;

    /// An operator's reset: exactly so many slots are taken afterwards.
    reset_limit(limit: LimitRef, slots: u64, reason: Option<Arc<str>>) -> Updated
        = Command::ResetLimit { limit, slots, reason } => Updated;

    /// An operator's reset of a tag: these are its only holders afterwards.
    reset_tag(name: Arc<str>, holders: Vec<(LeaseId, Holder)>, reason: Option<Arc<str>>) -> Updated
        = Command::ResetTag { name, holders, reason } => Updated;

    /// Deletes a limit.
    delete_limit(limit: LimitRef, scope: Scope) -> Deleted
        = Command::DeleteLimit { limit, scope } => Deleted;

    /// Takes a limit over from another server, or updates the values of one that is here already.
    adopt(adopt: Adopt) -> Created
        = Command::Adopt(adopt) => Created;

    /// Sets how many slots of a limit another server still counts as taken.
    set_foreign(limit: LimitId, slots: u64) -> Updated
        = Command::SetForeign { limit, slots } => Updated;

    /// Says whether a limit is on its way back to another server: it grants nothing new then.
    set_returning(limit: LimitId, returning: bool) -> Updated
        = Command::SetReturning { limit, returning } => Updated;

    /// Sets the leases on another server that live and end with a lease. Returns whether the lease
    /// lives.
    pair(lease: LeaseId, partners: Vec<LeaseId>) -> bool
        = Command::Pair { lease, partners } => Paired;

    /// One limit.
    limit(limit: LimitRef, scope: Scope) -> Option<LimitView>
        = Command::Read(Query::Limit(limit, scope)) => Limit;

    /// A page of limits in the order of their names.
    limits(scope: Scope, page: Page) -> Vec<LimitView>
        = Command::Read(Query::Limits(scope, page)) => Limits;

    /// What holds the slots of a limit. `None` if there is no such limit.
    held(limit: LimitRef, page: Page) -> Option<HeldView>
        = Command::Read(Query::Held(limit, page)) => Held;

    /// The leases that match, oldest first. `None` if there is no such limit.
    find_leases(filter: LeaseFilter, page: Page) -> Option<Vec<LeaseView>>
        = Command::Read(Query::FindLeases(filter, page)) => Leases;

    /// One lease.
    lease(lease: LeaseId) -> Result<LeaseView, Gone>
        = Command::Read(Query::Lease(lease)) => Lease;

    /// The waiters of a limit, the next one first. `None` if there is no such limit.
    waiters(limit: LimitRef, page: Page) -> Option<Vec<WaiterView>>
        = Command::Read(Query::Waiters(limit, page)) => Waiters;

    /// The names that no limit has, each with the name of a limit that is nearly the same.
    near(names: Vec<Arc<str>>) -> Vec<(Arc<str>, Arc<str>)>
        = Command::Read(Query::Near(names)) => Near;

    /// All holders of leases that said who they are, in order.
    holders() -> Vec<Holder>
        = Command::Read(Query::Holders) => Holders;
}
