//! The phases of a limit, and the stages within them.

use leasehold_engine::Timestamp;

/// Where a limit stands, as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The upstream grants.
    Upstream,
    /// Leasehold is about to grant, or grants beside slots that the upstream still counts.
    Draining,
    /// Leasehold grants, and the upstream counts nothing of others.
    Leasehold,
    /// On the way back: the upstream grants, or is about to, and leases of Leasehold go on.
    Returning,
}

/// Why a limit does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is there already.
    There,
    /// It is moving at the moment.
    Moving,
}

/// Why a move was given up. The limit stays where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Requests that were passed on did not come back in time.
    UnderWay(u64),
    /// The upstream could not be asked in time.
    NoAnswer,
    /// The upstream has no room for what is held here.
    NoRoom(u64),
    /// The ledger refused the limit.
    Ledger,
    /// The upstream does not have the limit.
    Gone,
}

/// Where a limit stands in full. Each stage but three belongs to a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The upstream grants.
    Upstream,
    /// Requests are held until those under way have come back and the count is read.
    Holding { until: Timestamp, from: From },
    /// The ledger is taking the limit over, with these foreign slots and this level.
    Adopting { from: From, foreign: u64, level: u64 },
    /// The ledger is about to grant again what was on its way back.
    Resuming,
    /// The ledger grants.
    Ours,
    /// The ledger is about to stop granting.
    Stopping { until: Option<Timestamp> },
    /// The upstream is about to count what is held here. Without a time the upstream may have
    /// granted already, so there is no way back to `Ours` without a count.
    Covering { until: Option<Timestamp> },
    /// The upstream grants, and the leases here go on.
    Returning,
}

/// Where a limit came from that is being taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Upstream,
    Returning,
    /// A restart interrupted its way back, and the upstream has no room for what is held here. It
    /// may count covers whose pairing the restart lost.
    Covering,
}

/// Who grants in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grants {
    Here,
    There,
    Nobody,
}

impl Stage {
    pub(crate) fn grants(self) -> Grants {
        match self {
            Self::Upstream | Self::Returning => Grants::There,
            Self::Ours => Grants::Here,
            Self::Holding { .. }
            | Self::Adopting { .. }
            | Self::Resuming
            | Self::Stopping { .. }
            | Self::Covering { .. } => Grants::Nobody,
        }
    }

    pub(crate) fn phase(self, foreign: u64) -> Phase {
        match self {
            Self::Upstream => Phase::Upstream,
            Self::Ours if foreign == 0 => Phase::Leasehold,
            Self::Holding { .. } | Self::Adopting { .. } | Self::Ours => Phase::Draining,
            Self::Resuming | Self::Stopping { .. } | Self::Covering { .. } | Self::Returning => {
                Phase::Returning
            }
        }
    }
}
