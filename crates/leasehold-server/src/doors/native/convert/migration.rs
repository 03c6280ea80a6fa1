//! The migration, from the wire and to it.

use std::collections::BTreeMap;

use leasehold_api::leases::NamedHolder;
use leasehold_api::migration::{
    MigratingLimit, Migration, MigrationPhase, MoveLimits, MoveOutcome, MovedLimit, Moves,
    SeenLease,
};
use leasehold_gateway::{Phase, Seen};
use uuid::Uuid;

use crate::doors::convert::timestamp;
use crate::migration::{LimitReport, Moved, Outcome, Report, Wanted};

pub(crate) fn wanted(body: MoveLimits) -> Wanted {
    let MoveLimits { limits, alone, force, dry_run } = body;
    let limits = limits.map(|names| names.into_iter().map(Into::into).collect());
    Wanted { limits, alone, force, dry_run }
}

pub(crate) fn report(report: &Report) -> Migration {
    Migration {
        upstream: report.upstream.clone(),
        is_reachable: report.is_reachable,
        longest_lease_seconds: report.longest_lease_seconds,
        leases_of_unknown_limits: report.strangers,
        watching_since: report.watching_since.map(timestamp),
        judged_after: report.judged_after.map(timestamp),
        limits: report.limits.iter().map(limit).collect(),
    }
}

fn limit(limit: &LimitReport) -> MigratingLimit {
    MigratingLimit {
        id: Uuid::from_u128(limit.id.0),
        name: (*limit.name).to_owned(),
        phase: phase(limit.standing.phase),
        slots: limit.slots,
        taken: limit.taken,
        held_here: limit.held_here,
        foreign: limit.standing.foreign,
        leases: limit.leases.iter().map(seen).collect(),
        unexplained: limit.unexplained,
        phantoms: limit.phantoms,
        dropped: limit.standing.dropped,
        unseen_task_runs: limit.unseen_task_runs.clone(),
        together: limit.together.iter().map(|name| (**name).to_owned()).collect(),
        stays: limit.stays.clone(),
        under_way: limit.standing.under_way,
        held_requests: limit.standing.held,
        failure: limit.failure.clone(),
        warning: limit.warning.clone(),
    }
}

fn seen(seen: &Seen) -> SeenLease {
    let holder = seen.holder.as_ref().map(|holder| NamedHolder {
        kind: (*holder.kind).to_owned(),
        id: (*holder.id).to_owned(),
        labels: BTreeMap::new(),
    });
    SeenLease {
        id: Uuid::from_u128(seen.lease.0),
        slots: seen.slots,
        holder,
        since: timestamp(seen.since),
        deadline: seen.deadline().map(timestamp),
        next_renewal: seen.next_renewal().map(timestamp),
    }
}

pub(crate) fn moves(moved: &[Moved]) -> Moves {
    let limits = moved.iter().map(|moved| {
        let (outcome, message) = match &moved.outcome {
            Outcome::Moved => (MoveOutcome::Moved, None),
            Outcome::Unchanged => (MoveOutcome::Unchanged, None),
            Outcome::Refused(why) => (MoveOutcome::Refused, Some(why.clone())),
        };
        MovedLimit {
            name: (*moved.name).to_owned(),
            outcome,
            before: phase(moved.before),
            now: phase(moved.now),
            dropped: moved.dropped,
            message,
        }
    });
    Moves { limits: limits.collect() }
}

fn phase(phase: Phase) -> MigrationPhase {
    match phase {
        Phase::Upstream => MigrationPhase::Upstream,
        Phase::Draining => MigrationPhase::Draining,
        Phase::Leasehold => MigrationPhase::Leasehold,
        Phase::Returning => MigrationPhase::Returning,
    }
}
