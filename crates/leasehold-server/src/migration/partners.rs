//! The partners of a lease: what the upstream counts for it. The ledger stores them as a list of
//! ids, and this is how the list is read.
//!
//! A lease of the upstream that our lease needs besides its own slots is one id. A cover, which the
//! upstream counts for slots that our lease holds on a limit, is two: the limit's id, and the id of
//! the upstream's lease. In place of the second, 0 stands for slots without a lease, and the
//! greatest number for slots that the upstream itself takes and gives back with a task run. 1
//! stands for a tag that the upstream counts by a list of task runs; a third id is the one in that
//! list.

use leasehold_engine::{LeaseId, LimitId};
use uuid::Uuid;

const PLAIN: u128 = 0;
const LISTED: u128 = 1;
const WITH_TASK_RUN: u128 = u128::MAX;

/// What the upstream counts for a lease of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partner {
    /// A lease on limits that are the upstream's.
    Lease(LeaseId),
    /// A cover on a limit that is ours.
    Cover(LimitId, Kind),
}

/// A partner, and how many slots it holds on each of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paired {
    pub(crate) partner: Partner,
    pub(crate) slots: u64,
}

/// How the upstream holds the slots of a cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By a lease.
    Lease(LeaseId),
    /// Without one.
    Plain,
    /// By a lease of its own that ends with the task run.
    WithTaskRun,
    /// By this id in its list of the task runs that hold a tag, as servers before 3.4.19 have it.
    Listed(Uuid),
}

impl Partner {
    /// Whether it is a cover on this limit.
    pub(crate) fn covers(&self, limit: LimitId) -> bool {
        matches!(self, Self::Cover(on, _) if *on == limit)
    }
}

/// The partners as the ledger stores them.
pub(super) fn encode(partners: &[Paired]) -> Vec<LeaseId> {
    let ids = partners.iter().flat_map(|paired| match &paired.partner {
        Partner::Lease(lease) => [Some(*lease), None, None],
        Partner::Cover(limit, kind) => {
            let (kind, listed) = match kind {
                Kind::Lease(lease) => (*lease, None),
                Kind::Plain => (LeaseId(PLAIN), None),
                Kind::WithTaskRun => (LeaseId(WITH_TASK_RUN), None),
                Kind::Listed(run) => (LeaseId(LISTED), Some(LeaseId(run.as_u128()))),
            };
            [Some(LeaseId(limit.0)), Some(kind), listed]
        }
    });
    ids.flatten().collect()
}

/// Reads what the ledger stores. `is_limit` says which ids are those of limits.
pub(super) fn decode(ids: &[LeaseId], is_limit: impl Fn(LimitId) -> bool) -> Vec<Partner> {
    let mut partners = Vec::new();
    let mut ids = ids.iter();
    while let Some(id) = ids.next() {
        if !is_limit(LimitId(id.0)) {
            partners.push(Partner::Lease(*id));
            continue;
        }
        let kind = match ids.next() {
            Some(LeaseId(PLAIN)) => Kind::Plain,
            Some(LeaseId(WITH_TASK_RUN)) => Kind::WithTaskRun,
            Some(LeaseId(LISTED)) => match ids.next() {
                Some(run) => Kind::Listed(Uuid::from_u128(run.0)),
                None => break,
            },
            Some(lease) => Kind::Lease(*lease),
            None => break,
        };
        partners.push(Partner::Cover(LimitId(id.0), kind));
    }
    partners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_are_read_as_they_were_stored() {
        let partners = [
            Partner::Lease(LeaseId(7)),
            Partner::Cover(LimitId(1), Kind::Lease(LeaseId(8))),
            Partner::Cover(LimitId(2), Kind::Plain),
            Partner::Cover(LimitId(1), Kind::WithTaskRun),
            Partner::Cover(LimitId(2), Kind::Listed(Uuid::from_u128(1))),
            Partner::Lease(LeaseId(9)),
        ];
        let ids = encode(&partners.map(|partner| Paired { partner, slots: 1 }));
        assert_eq!(decode(&ids, |limit| limit.0 < 3), partners);
    }
}
