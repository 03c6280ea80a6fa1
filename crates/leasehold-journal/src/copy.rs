//! A whole ledger from one journal to another, with its leases and the time of its last commit: the
//! deadlines move by the time that passes until it is used.

use leasehold_engine::{Changes, Snapshot, Totals};

use crate::{CommitError, Journal, LoadError};

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// How many limits.
    pub limits: usize,
    /// How many leases.
    pub leases: usize,
    /// How many endings of leases.
    pub endings: usize,
}

/// Why a ledger was not copied. The destination is unchanged, unless it says something else.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source cannot be read.
    #[error("the source cannot be read")]
    Source(#[source] LoadError),
    /// The destination cannot be read.
    #[error("the destination cannot be read")]
    Destination(#[source] LoadError),
    /// The destination has a ledger already.
    #[error("the destination has a ledger already, with {limits} limits and {leases} leases")]
    NotEmpty {
        /// How many limits it has.
        limits: usize,
        /// How many leases it has.
        leases: usize,
    },
    /// The destination cannot be written.
    #[error("the destination cannot be written")]
    Commit(#[from] CommitError),
    /// What the destination gives back is not what it was given.
    #[error("the destination gives back another ledger than it was given; delete it")]
    Differs,
}

/// Copies a ledger in one commit, and reads it back. The caller owns both journals.
///
/// # Errors
///
/// See [`CopyError`].
pub fn copy(from: &mut dyn Journal, to: &mut dyn Journal) -> Result<Copied, CopyError> {
    let Snapshot { limits, leases, .. } = to.load().map_err(CopyError::Destination)?;
    if !limits.is_empty() || !leases.is_empty() {
        return Err(CopyError::NotEmpty { limits: limits.len(), leases: leases.len() });
    }
    let ledger = from.load().map_err(CopyError::Source)?;
    let copied = Copied {
        limits: ledger.limits.len(),
        leases: ledger.leases.len(),
        endings: ledger.endings.len(),
    };
    to.commit(&Changes {
        at: ledger.at,
        next_fence: ledger.next_fence,
        totals: Totals { limits: copied.limits as u64, leases: copied.leases as u64 },
        limits: ledger.limits.clone(),
        leases: ledger.leases.clone(),
        endings: ledger.endings.clone(),
        ..Changes::default()
    })?;
    let found = to.load().map_err(CopyError::Destination)?;
    if found == ledger { Ok(copied) } else { Err(CopyError::Differs) }
}
