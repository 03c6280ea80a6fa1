//! What clients, the gateway and the upstream say to each other, in plain numbers.

use std::sync::Arc;

pub(crate) const MILLISECOND: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// The ids of the upstream's leases begin here. Ours are lower.
pub(crate) const UPSTREAM_FIRST: u64 = 1 << 40;
/// How long the upstream's lease of a cover lasts. No client asks for as much.
pub(crate) const COVER_TTL: u64 = 40 * SECOND;
/// Longer than any lease of a client lives.
pub(crate) const LONGEST: u64 = 12 * SECOND;

/// A limit of the world, by its place in [`LIMITS`].
pub(crate) type LimitNo = usize;

/// Name and slots.
pub(crate) const LIMITS: [(&str, u64); 4] = [("one", 1), ("two", 2), ("three", 3), ("five", 5)];
/// The limit on which some clients talk to the upstream past the gateway.
pub(crate) const OPEN: LimitNo = 3;

/// What a client asks of the gateway.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Acquire { limits: Vec<LimitNo>, slots: u64, ttl: u64, wait: u64 },
    Renew { lease: u64, ttl: u64 },
    Release { lease: u64 },
}

/// What the gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted(u64),
    Refused,
    Renewed,
    Released,
    Gone,
    Failed,
}

/// What the gateway, or a client past it, asks of the upstream.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Acquire {
        limits: Vec<LimitNo>,
        slots: u64,
        ttl: u64,
    },
    Renew {
        lease: u64,
        ttl: u64,
    },
    Release {
        lease: u64,
    },
    /// `is_cover`: for a cover whose lease the upstream has lost. Else for phantoms.
    GiveBack {
        limit: LimitNo,
        slots: u64,
        is_cover: bool,
    },
    Counts,
}

/// What the upstream says. `None` in its place: the connection broke, and nobody knows.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Granted(u64),
    Refused,
    Done,
    Gone,
    Counts(Vec<u64>),
}

pub(crate) fn name(limit: LimitNo) -> Arc<str> {
    LIMITS[limit].0.into()
}

pub(crate) fn number(name: &str) -> LimitNo {
    LIMITS.iter().position(|(known, _)| *known == name).unwrap_or(0)
}
