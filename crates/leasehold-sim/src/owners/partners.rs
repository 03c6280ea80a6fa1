//! What the upstream counts for leases of ours, as the ledger stores it: one id for a lease on
//! limits that are the upstream's, and two for a cover, which is a lease on a limit of ours.

use leasehold_engine::{LeaseId, LimitId};

use super::wire::{LIMITS, LimitNo};

/// In place of the lease of a cover: the upstream has lost it, and still counts the slots.
pub(crate) const PLAIN: u64 = 0;

/// What the upstream counts for a lease of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paired {
    pub(crate) partner: Partner,
    pub(crate) slots: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partner {
    /// A lease on limits that are the upstream's.
    Lease(u64),
    /// A lease on a limit of ours, for the same slots.
    Cover(LimitNo, u64),
}

pub(crate) fn encode(partners: &[Paired]) -> Vec<LeaseId> {
    let ids = partners.iter().flat_map(|paired| match paired.partner {
        Partner::Lease(lease) => [Some(LeaseId(lease.into())), None],
        Partner::Cover(limit, lease) => [Some(LeaseId(id(limit).0)), Some(LeaseId(lease.into()))],
    });
    ids.flatten().collect()
}

pub(crate) fn decode(ids: &[LeaseId], slots: impl Fn(LimitId) -> u64) -> Vec<Paired> {
    let mut partners = Vec::new();
    let mut ids = ids.iter();
    while let Some(first) = ids.next() {
        let limit = (0..LIMITS.len()).find(|limit| id(*limit).0 == first.0);
        partners.push(match (limit, limit.and_then(|_| ids.next())) {
            (Some(limit), Some(lease)) => Paired {
                partner: Partner::Cover(limit, lease_number(*lease)),
                slots: slots(id(limit)),
            },
            _ => Paired { partner: Partner::Lease(lease_number(*first)), slots: 1 },
        });
    }
    partners
}

pub(crate) fn id(limit: LimitNo) -> LimitId {
    LimitId(1 + limit as u128)
}

pub(crate) fn lease_number(lease: LeaseId) -> u64 {
    u64::try_from(lease.0).unwrap_or(0)
}

const _: () = assert!(LIMITS.len() < 1_000, "ids of limits are lower than those of leases");
