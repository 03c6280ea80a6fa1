//! Conversions between the wire types of the recorded contract and the engine's.

pub(crate) mod holders;
pub(crate) mod runs;

use std::borrow::Cow;
use std::sync::Arc;

use leasehold_engine::{
    CreateLimit, EndReason, Ending, Gone, Holder, LimitId, LimitPatch, LimitView, MinimalLimit,
    Rate, Refusal, TAG_PREFIX, Timestamp as At,
};
use leasehold_prefect::error::LEASE_NOT_FOUND;
use leasehold_prefect::limits::{
    self, CreatedLimit, HolderKind, Limit as WireLimit, MinimalLimit as WireMinimal,
};
use leasehold_prefect::system::CsrfToken;
use leasehold_prefect::tags::TagLimit;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::access::csrf;
use crate::acquire::NotAcquired;
use crate::doors::convert::unleased;
pub(crate) use crate::doors::convert::{lease_id, mode, page, timestamp};
use crate::doors::prefect::error::Error;
use crate::ids;

pub(crate) fn new_limit_id() -> LimitId {
    LimitId(ids::random().as_u128())
}

pub(crate) fn create(body: limits::CreateLimit) -> CreateLimit {
    CreateLimit {
        id: new_limit_id(),
        name: body.name.into(),
        slots: body.limit,
        active: body.active,
        decay: Rate::from_slots_per_second(body.slot_decay_per_second),
        unleased: body.active_slots,
        denied_slots: body.denied_slots,
    }
}

pub(crate) fn patch(body: &limits::UpdateLimit) -> LimitPatch {
    LimitPatch {
        name: body.name.as_set().map(|name| name.as_str().into()),
        slots: body.limit.as_set().copied(),
        active: body.active.as_set().copied(),
        decay: body.slot_decay_per_second.as_set().copied().map(Rate::from_slots_per_second),
        taken_max: body.active_slots.as_set().copied(),
        denied_slots: body.denied_slots.as_set().copied(),
    }
}

pub(crate) fn holder(holder: &limits::Holder) -> Holder {
    let kind = match holder.r#type {
        HolderKind::FlowRun => Holder::FLOW_RUN,
        HolderKind::TaskRun => Holder::TASK_RUN,
        HolderKind::Deployment => "deployment",
    };
    Holder::new(kind, holder.id.to_string())
}

pub(crate) fn task_run(id: Uuid) -> Holder {
    Holder::new(Holder::TASK_RUN, id.to_string())
}

/// What a request wants of global limits, sorted by name: the answer has that order, whatever the
/// request's.
pub(crate) fn wants(mut names: Vec<String>, slots: u64) -> impl Iterator<Item = (String, u64)> {
    names.sort_unstable();
    names.into_iter().map(move |name| (name, slots))
}

pub(crate) fn names(mut names: Vec<String>) -> SmallVec<[Arc<str>; 1]> {
    names.sort_unstable();
    names.into_iter().map(Arc::from).collect()
}

/// The name of the limit of a tag.
pub(crate) fn tag_name(tag: &str) -> Arc<str> {
    format!("{TAG_PREFIX}{tag}").into()
}

pub(crate) fn bare_tag(name: &str) -> &str {
    name.strip_prefix(TAG_PREFIX).unwrap_or(name)
}

/// Why a task has to wait for its tags. `limit` is the name of the limit that is full.
pub(crate) fn tag_full(limit: &str) -> String {
    format!("Concurrency limit for the {} tag has been reached", bare_tag(limit))
}

/// Why a task need not wait for its tags: one of them has no slots at all.
pub(crate) fn tag_is_0(limit: &str) -> String {
    format!(
        "The concurrency limit on tag \"{}\" is 0 and will deadlock if the task tries to run again.",
        bare_tag(limit)
    )
}

pub(crate) fn minimal(limit: &MinimalLimit) -> WireMinimal {
    minimal_as(limit, &limit.name)
}

pub(crate) fn minimal_as(limit: &MinimalLimit, name: &str) -> WireMinimal {
    WireMinimal { id: Uuid::from_u128(limit.id.0), name: name.to_owned(), limit: limit.slots }
}

pub(crate) fn limit(view: &LimitView) -> WireLimit {
    WireLimit {
        id: Uuid::from_u128(view.limit.id.0),
        created: timestamp(view.limit.created),
        updated: timestamp(view.limit.updated),
        active: view.limit.active,
        name: view.limit.name.as_ref().to_owned(),
        limit: view.limit.slots,
        active_slots: view.taken,
        slot_decay_per_second: view.limit.decay.as_slots_per_second(),
    }
}

pub(crate) fn created_limit(view: &LimitView) -> CreatedLimit {
    let limit = limit(view);
    CreatedLimit {
        id: limit.id,
        created: limit.created,
        updated: limit.updated,
        active: limit.active,
        name: limit.name,
        limit: limit.limit,
        active_slots: limit.active_slots,
        denied_slots: view.limit.denied_slots,
        slot_decay_per_second: limit.slot_decay_per_second,
        avg_slot_occupancy_seconds: view.limit.occupancy_seconds_average,
    }
}

/// A tag limit. The API of tags knows only task runs as holders.
pub(crate) fn tag_limit(view: &LimitView) -> TagLimit {
    let task_runs = view.holders.iter().filter(|holder| &*holder.kind == Holder::TASK_RUN);
    TagLimit {
        id: Uuid::from_u128(view.limit.id.0),
        created: timestamp(view.limit.created),
        updated: timestamp(view.limit.updated),
        tag: bare_tag(&view.limit.name).to_owned(),
        concurrency_limit: view.limit.slots,
        active_slots: task_runs.filter_map(|holder| holder.id.parse().ok()).collect(),
        slots_without_lease: unleased::of_limit(view),
    }
}

/// The error for an acquire without a grant. `locked` makes the sentence of a 423.
pub(crate) fn not_acquired(
    error: NotAcquired,
    locked: impl FnOnce(&Refusal) -> Cow<'static, str>,
) -> Error {
    match error {
        NotAcquired::Refused(refusal, come_back) => {
            Error::Locked(locked(&refusal), Some(come_back))
        }
        NotAcquired::SentAway(come_back) => {
            Error::Locked(leasehold_prefect::error::LOCKED.into(), Some(come_back))
        }
        NotAcquired::Unavailable(unavailable) => unavailable.into(),
    }
}

pub(crate) fn csrf_token(client: String, issued: csrf::Token, now: At) -> CsrfToken {
    CsrfToken {
        id: issued.id,
        created: timestamp(issued.created),
        updated: timestamp(now),
        token: issued.token,
        client,
        expiration: timestamp(issued.expires),
    }
}

/// Why a lease cannot be renewed. There are own sentences if an operator revoked this lease with a
/// reason, if its holder released it, or if it was repossessed. Otherwise it is the contract's
/// sentence to the byte, also if the lease ended with its tag.
pub(crate) fn lease_gone(gone: &Gone) -> Cow<'static, str> {
    match &gone.0 {
        Some(Ending { how: EndReason::Revoked { reason: Some(reason), by }, at, .. }) => {
            let (by, at) = (by.as_deref().unwrap_or("an operator"), timestamp(*at));
            format!("Lease not found - it was revoked by {by} at {at}: {reason}").into()
        }
        Some(Ending { how: EndReason::Released, at, .. }) => {
            format!("Lease not found - it was released at {}", timestamp(*at)).into()
        }
        Some(Ending {
            how: EndReason::Revoked { reason: None, .. } | EndReason::Expired, ..
        })
        | None => LEASE_NOT_FOUND.into(),
        Some(Ending { how: EndReason::Repossessed { evidence }, at, .. }) => {
            let at = timestamp(*at);
            format!("Lease not found - it was repossessed at {at}: {evidence}").into()
        }
    }
}
