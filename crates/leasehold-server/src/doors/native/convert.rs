//! Conversions between the native door's wire types and the engine's.

pub(crate) mod migration;

use std::sync::Arc;

use leasehold_api::leases::{
    EndedLease, FullLimit, HeldLimit, IfMissing, Lease, MissingLimits, NamedHolder, NewHolder,
    NewLease, NoRoom, ReleasedLease, Renewal, RenewedLease, Status, Why,
};
use leasehold_engine::{
    Acquire, Blocker, EndReason, Ending, Gone, Grant, Hold, Holder, LeaseView, Missing, Notes,
    Origin, Refusal, Renewed, RequestDigest, Span, StuckOn, Timestamp, Wait,
};
use uuid::Uuid;

use crate::acquire::lease_id;
use crate::doors::convert::{self, held, labels, mode, timestamp, unleased};

pub(crate) fn acquire(body: &NewLease, origin: Option<Arc<Origin>>) -> Acquire {
    let labels = body.holder.iter().flat_map(|holder| &holder.labels);
    let labels = labels.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
    let request = body.idempotency_key.is_some().then(|| request_digest(body));
    let hold = Hold::Lease {
        id: body.idempotency_key.as_deref().map_or_else(lease_id::new, lease_id::of_key),
        holder: body.holder.as_ref().map(holder),
        ttl: Span::from_seconds_f64(body.ttl_seconds),
        // Also without labels: the engine remembers the release of a lease only if it has notes.
        notes: Some(Arc::new(Notes { labels: labels.collect(), request })),
    };
    let missing = match body.if_missing {
        IfMissing::Error => Missing::Refuse,
        IfMissing::Skip => Missing::Skip,
    };
    let wants = body.limits.iter().map(|wanted| (wanted.name.as_str(), wanted.slots));
    Acquire { mode: mode(body.mode), missing, origin, ..Acquire::new(wants, hold) }
}

/// The digest by which two requests with the same key are the same: the limits in any order, their
/// slots, the mode and the holder. The TTL, the waiting time and the labels are no part of it.
fn request_digest(body: &NewLease) -> RequestDigest {
    let mut limits: Vec<_> = body.limits.iter().map(|it| (&it.name, it.slots)).collect();
    limits.sort_unstable();
    let holder = body.holder.as_ref().map(|holder| (&holder.kind, &holder.id));
    let asked = (limits, body.mode, holder);
    // Cannot fail: text and numbers always serialize.
    lease_id::request_digest(&serde_json::to_vec(&asked).unwrap_or_default())
}

fn holder(holder: &NewHolder) -> Holder {
    Holder::new(holder.kind.as_str(), holder.id.as_str())
}

/// A lease that has just been granted.
pub(crate) fn granted(
    grant: &Grant,
    asked: NewLease,
    origin: Option<&Origin>,
    now: Timestamp,
) -> Lease {
    let named = |holding: &leasehold_engine::Holding| {
        let limit = grant.limits.iter().find(|limit| limit.id == holding.limit)?;
        Some(HeldLimit {
            id: Uuid::from_u128(limit.id.0),
            name: (*limit.name).to_owned(),
            slots: holding.slots,
        })
    };
    let lease = grant.lease.as_ref();
    let empty = || lease_id::empty(asked.idempotency_key.as_deref());
    Lease {
        id: lease.map_or_else(empty, |lease| Uuid::from_u128(lease.id.0)),
        limits: grant.holdings.iter().filter_map(named).collect(),
        created: timestamp(lease.map_or(now, |lease| lease.created)),
        deadline: lease.and_then(|lease| lease.deadline).map(timestamp),
        fencing_token: lease.map(|lease| lease.fence.0),
        holder: asked.holder.map(|NewHolder { kind, id, labels }| NamedHolder { kind, id, labels }),
        origin: origin.map(convert::origin),
    }
}

pub(crate) fn lease(view: &LeaseView) -> Lease {
    let lease = &view.lease;
    Lease {
        id: Uuid::from_u128(lease.id.0),
        limits: held(view),
        holder: lease.holder.as_ref().map(|holder| NamedHolder {
            kind: (*holder.kind).to_owned(),
            id: (*holder.id).to_owned(),
            labels: labels(lease.notes.as_deref()),
        }),
        origin: lease.origin.as_deref().map(convert::origin),
        created: timestamp(lease.created),
        deadline: lease.deadline.map(timestamp),
        fencing_token: Some(lease.fence.0),
    }
}

pub(crate) fn renewed(id: Uuid, deadline: Option<Timestamp>) -> RenewedLease {
    RenewedLease { id, status: Status::Renewed, deadline: deadline.map(timestamp) }
}

pub(crate) fn renewal(id: Uuid, renewed_as: &Renewed) -> Renewal {
    match renewed_as {
        Renewed::Renewed(deadline) => Renewal::Renewed(renewed(id, *deadline)),
        Renewed::Gone(gone) => Renewal::Ended(ended(id, gone)),
    }
}

pub(crate) fn released(id: Uuid, at: Timestamp) -> ReleasedLease {
    ReleasedLease { id, status: Status::Released, at: timestamp(at) }
}

/// The answer for a lease that does not exist, or no longer.
pub(crate) fn ended(id: Uuid, gone: &Gone) -> EndedLease {
    let Some(Ending { at, how, .. }) = &gone.0 else {
        let detail = format!(
            "There is no lease with the id {id}: it never existed, or its end is no longer \
             recorded."
        );
        let status = Status::Unknown;
        return EndedLease { detail, id, status, at: None, reason: None, by: None };
    };
    let when = timestamp(*at);
    let owned = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let (status, detail, reason, by) = match how {
        EndReason::Expired => (
            Status::Expired,
            format!("The lease expired at {when}: it was not renewed."),
            None,
            None,
        ),
        EndReason::Released => {
            (Status::Released, format!("The lease was released at {when}."), None, None)
        }
        EndReason::Revoked { reason, by } => {
            let who = by.as_deref().unwrap_or("an operator");
            let why = reason.as_deref().unwrap_or("its tag was reset or deleted");
            let detail = format!("The lease was revoked by {who} at {when}: {why}");
            (Status::Revoked, detail, owned(reason), owned(by))
        }
        EndReason::Repossessed { evidence } => {
            let detail = format!("The lease was repossessed at {when}: {evidence}");
            (Status::Repossessed, detail, Some((**evidence).to_owned()), None)
        }
    };
    EndedLease { detail, id, status, at: Some(when), reason, by }
}

pub(crate) fn missing(names: &[Arc<str>]) -> MissingLimits {
    let missing: Vec<_> = names.iter().map(|name| (**name).to_owned()).collect();
    let quoted: Vec<_> = missing.iter().map(|name| format!("'{name}'")).collect();
    let detail = match &quoted[..] {
        [only] => format!("There is no limit named {only}."),
        all => format!("There are no limits named {}.", all.join(", ")),
    };
    MissingLimits { detail, missing }
}

pub(crate) fn no_room(refusal: &Refusal, retry_after_seconds: f64) -> NoRoom {
    let names: Vec<_> =
        refusal.blockers.iter().map(|full| format!("'{}'", full.limit.name)).collect();
    NoRoom {
        detail: format!("There is no room on {}.{}", names.join(", "), in_vain(&refusal.stuck)),
        position: refusal.position,
        // Rounded to milliseconds: no client sleeps more exactly.
        retry_after_seconds: (retry_after_seconds * 1e3).round() / 1e3,
        waiting_for: refusal.blockers.iter().map(full_limit).collect(),
        stuck: refusal.stuck.iter().map(convert::stuck_on).collect(),
    }
}

/// Why waiting is in vain: the sentence for a request that is stuck, or nothing.
fn in_vain(stuck: &[StuckOn]) -> String {
    match stuck.iter().find(|on| on.is_own).or(stuck.first()) {
        None => String::new(),
        Some(on) if on.is_own => {
            format!(" The same holder has '{}': it waits for itself.", on.limit)
        }
        Some(on) => format!(" The holder of '{}' waits for this one.", on.limit),
    }
}

fn full_limit(blocker: &Blocker) -> FullLimit {
    let drained_after = match blocker.wait {
        Wait::Drain(span) => Some(span.as_seconds_f64()),
        Wait::Release { .. } => None,
    };
    FullLimit {
        id: Uuid::from_u128(blocker.limit.id.0),
        name: (*blocker.limit.name).to_owned(),
        limit: blocker.limit.slots,
        slots: blocker.wanted,
        why: match (blocker.is_kept, drained_after) {
            (true, _) => Why::Kept,
            (false, Some(_)) => Why::Draining,
            (false, None) => Why::Held,
        },
        drained_after_seconds: drained_after,
        slots_without_lease: unleased::of_blocker(blocker),
    }
}

/// As [`ended`], with a sentence in the words of the recorded contract.
pub(crate) fn not_found(id: Uuid, gone: &Gone) -> EndedLease {
    let detail = match &gone.0 {
        None => "Lease not found".to_owned(),
        Some(Ending { how, at, .. }) => {
            let at = timestamp(*at);
            match how {
                EndReason::Released => format!("Lease not found - it was released at {at}"),
                EndReason::Expired => format!("Lease not found - it expired at {at}"),
                EndReason::Revoked { reason: None, .. } => {
                    format!("Lease not found - its tag was reset or deleted at {at}")
                }
                EndReason::Revoked { reason: Some(reason), by } => {
                    let by = by.as_deref().unwrap_or("an operator");
                    format!("Lease not found - it was revoked by {by} at {at}: {reason}")
                }
                EndReason::Repossessed { evidence } => {
                    format!("Lease not found - it was repossessed at {at}: {evidence}")
                }
            }
        }
    };
    EndedLease { detail, ..ended(id, gone) }
}
