//! Queries: they change nothing.

use std::sync::Arc;

use crate::lease::LeaseId;
use crate::limit::LimitId;

/// A query. It changes nothing.
#[derive(Clone, Debug)]
pub enum Query {
    /// One limit.
    Limit(LimitRef, Scope),
    /// A page of limits in the order of their names.
    Limits(Scope, Page),
    /// The leases on a limit, oldest first.
    Leases(LimitRef, Page),
    /// The leases on a limit, oldest first, and then its slots without a lease.
    Held(LimitRef, Page),
    /// All leases that match, oldest first.
    FindLeases(LeaseFilter, Page),
    /// One lease.
    Lease(LeaseId),
    /// The waiting requests for a limit, the next one first.
    Waiters(LimitRef, Page),
    /// Those of these names that no limit has, though a limit has nearly the same name.
    Near(Vec<Arc<str>>),
    /// All holders of leases, in order.
    Holders,
}

/// How a limit is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitRef {
    /// By its id.
    Id(LimitId),
    /// By its full name.
    Name(Arc<str>),
}

/// Among which limits a command looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All limits, those of tags included.
    All,
    /// The limits of tags.
    Tags,
}

/// Which leases. `None` matches all.
#[derive(Clone, Debug, Default)]
pub struct LeaseFilter {
    /// The name of a limit on which they are.
    pub limit: Option<Arc<str>>,
    /// The kind of their holders.
    pub holder_kind: Option<Arc<str>>,
    /// The id of their holders.
    pub holder_id: Option<Arc<str>>,
}

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// How many to leave out first.
    pub offset: usize,
    /// How many at the most.
    pub limit: usize,
}
