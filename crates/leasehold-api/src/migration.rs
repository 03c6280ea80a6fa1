//! The migration from a Prefect server, limit by limit: `/api/leasehold/migration`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;
use crate::leases::NamedHolder;

/// Where the migration stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Migration {
    /// The URL of the API of the upstream Prefect server.
    pub upstream: String,
    /// Whether the upstream answered when it was asked last.
    pub is_reachable: bool,
    /// The length of the longest lease that was seen passing, in seconds. Slots that nobody renews
    /// for longer are phantoms.
    pub longest_lease_seconds: f64,
    /// The leases of the upstream that live and whose limits are unknown: they were granted before
    /// the gateway saw them, or inside the upstream. Each may explain slots.
    pub leases_of_unknown_limits: u64,
    /// Since when the gateway watches, without a break.
    #[serde(default)]
    pub watching_since: Option<Timestamp>,
    /// When each lease from before has been renewed and is known. Until then its slots look like
    /// phantoms, and none is judged.
    #[serde(default)]
    pub judged_after: Option<Timestamp>,
    /// All limits, in the order of their names.
    pub limits: Vec<MigratingLimit>,
}

/// Where a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum MigrationPhase {
    /// The upstream grants.
    Upstream,
    /// Leasehold takes the limit over, or grants beside slots that the upstream still counts.
    Draining,
    /// Leasehold grants, and the upstream counts nothing of others.
    Leasehold,
    /// On the way back: the upstream grants, and leases of Leasehold go on.
    Returning,
}

/// A limit in the migration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigratingLimit {
    /// Its id, the same on both sides.
    pub id: Uuid,
    /// Its name. The limit of the tag `x` is `tag:x`.
    pub name: String,
    /// Where it stands.
    pub phase: MigrationPhase,
    /// How many slots it has.
    pub slots: u64,
    /// How many of them are taken, as the side that grants counts.
    pub taken: u64,
    /// How many of them leases of Leasehold hold, and clients of Leasehold without a lease.
    pub held_here: u64,
    /// How many of them the upstream counts for others; in the phases in which Leasehold grants.
    pub foreign: u64,
    /// The leases of the upstream that were seen passing, oldest first.
    pub leases: Vec<SeenLease>,
    /// How many slots the upstream counts that none of these leases explains: slots without a
    /// lease, leases from before the gateway, or phantoms.
    pub unexplained: u64,
    /// How many of these are phantoms: no lease has explained them for longer than the longest
    /// lease that was seen.
    pub phantoms: u64,
    /// How many phantoms an operator dropped. The upstream counts them until the way back.
    pub dropped: u64,
    /// The task runs that the upstream names as holders of this tag and that were not seen passing.
    pub unseen_task_runs: Vec<Uuid>,
    /// The limits that were asked for together with this one. They should move together.
    pub together: Vec<String>,
    /// Why the limit stays upstream, if it has to.
    pub stays: Option<String>,
    /// Requests for its slots that the upstream has not answered yet.
    pub under_way: u64,
    /// Requests that are held while it moves.
    pub held_requests: u64,
    /// Why its last move was given up.
    pub failure: Option<String>,
    /// What an operator should know of it, and do: why its unexplained slots cannot be judged yet,
    /// or that the upstream does not have it any more.
    #[serde(default)]
    pub warning: Option<String>,
}

/// A lease of the upstream that was seen passing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeenLease {
    /// Its id.
    pub id: Uuid,
    /// How many slots it holds on each of its limits.
    pub slots: u64,
    /// Its holder, if the request named one.
    pub holder: Option<NamedHolder>,
    /// When it was granted.
    pub since: Timestamp,
    /// When it ends unless it is renewed; `null` for a holder that cannot renew.
    pub deadline: Option<Timestamp>,
    /// When its client renews it next.
    pub next_renewal: Option<Timestamp>,
}

/// Limits to move.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MoveLimits {
    /// Their names. Without names: all that can move. Limits that were asked for together with one
    /// of them move too, unless `alone` is set.
    pub limits: Option<Vec<String>>,
    /// Move no limit but these.
    pub alone: bool,
    /// For phantoms: drop every slot that is unexplained, however young. A holder that the gateway
    /// has not seen loses its place: more holders than slots are possible.
    pub force: bool,
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
}

/// What became of each limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moves {
    /// The limits in the order of their names.
    pub limits: Vec<MovedLimit>,
}

/// What became of one limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MovedLimit {
    /// Its name.
    pub name: String,
    /// Whether it moved.
    pub outcome: MoveOutcome,
    /// Its phase before.
    pub before: MigrationPhase,
    /// Its phase now. In a dry run: its phase if it moves.
    pub now: MigrationPhase,
    /// How many phantoms were dropped.
    pub dropped: u64,
    /// Why it did not move.
    pub message: Option<String>,
}

/// Whether a limit moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum MoveOutcome {
    /// It moved; in a dry run: it would.
    Moved,
    /// It was there already, or there was nothing to do.
    Unchanged,
    /// It has to stay where it is, or the move was given up; nothing has changed.
    Refused,
}
