//! The one place that knows both wire types and engine types.

pub(crate) mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_api::leases::{
    HeldLimit, LeaseHolder, LimitLease, Mode as WireMode, StuckOn as WireStuckOn, Waiter,
};
use leasehold_api::origin::{
    Certainty as WireCertainty, Identified as WireIdentified, Named as WireNamed,
    Origin as WireOrigin,
};
use leasehold_engine::{
    Certainty, CreateLimit, HeldView, Holder, LeaseId, LeaseView, LimitId, LimitPatch, LimitRef,
    LimitView, MinimalLimit, Mode, Named, Origin, Page, Rate, StuckOn, TAG_PREFIX, Timestamp,
    Unheld, WaiterView,
};
use leasehold_prefect::limits::{
    self, CreatedLimit, HolderKind, Limit as WireLimit, MinimalLimit as WireMinimal,
};
use leasehold_prefect::tags::TagLimit;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::doors::native::convert as leases;
use crate::doors::native::convert::unleased;
use crate::ids;

pub(crate) fn timestamp(at: Timestamp) -> leasehold_api::Timestamp {
    leasehold_api::Timestamp(at.as_micros())
}

pub(crate) fn lease_id(id: Uuid) -> LeaseId {
    LeaseId(id.as_u128())
}

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

pub(crate) fn mode(mode: WireMode) -> Mode {
    match mode {
        WireMode::Concurrency => Mode::Concurrency,
        WireMode::RateLimit => Mode::RateLimit,
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

/// Global limits answer in the order of their names, however they were named.
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

pub(crate) fn page(offset: u64, limit: u64) -> Page {
    let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Page { offset: size(offset), limit: size(limit) }
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

/// The limit of a tag. To its clients, only task runs are holders.
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

/// A lease in the list of a limit on which it is.
fn limit_lease(view: &LeaseView, limit: &LimitRef) -> LimitLease {
    let on_limit = view.lease.holdings.iter().zip(&view.names).find(|(held, name)| match limit {
        LimitRef::Id(id) => held.limit == *id,
        LimitRef::Name(wanted) => *name == wanted,
    });
    let lease = &view.lease;
    LimitLease {
        id: Some(Uuid::from_u128(lease.id.0)),
        slots: on_limit.map_or(0, |(held, _)| held.slots),
        holder: lease.holder.as_ref().map(lease_holder),
        labels: leases::labels(lease.notes.as_deref()),
        origin: lease.origin.as_deref().map(origin),
        created: Some(timestamp(lease.created)),
        deadline: lease.deadline.map(timestamp),
        fencing_token: Some(lease.fence.0),
        limits: leases::held(view),
        without_lease: None,
    }
}

/// What holds the slots of a limit: its leases, and after them what no lease holds.
pub(crate) fn held(view: &HeldView) -> Vec<LimitLease> {
    let limit = LimitRef::Id(view.limit.id);
    let leases = view.leases.iter().map(|lease| limit_lease(lease, &limit));
    leases.chain(view.unleased.iter().map(|part| without_lease(view, part))).collect()
}

fn without_lease(view: &HeldView, part: &Unheld) -> LimitLease {
    let slots = unleased::slots(&view.limit.name, part, !view.decay.is_none());
    let on_limit = HeldLimit {
        id: Uuid::from_u128(view.limit.id.0),
        name: slots.limit.clone(),
        slots: slots.slots,
    };
    LimitLease {
        id: None,
        slots: slots.slots,
        holder: None,
        labels: BTreeMap::new(),
        origin: None,
        created: slots.since,
        deadline: None,
        fencing_token: None,
        limits: vec![on_limit],
        without_lease: Some(slots),
    }
}

pub(crate) fn waiter(view: &WaiterView, position: u64, now: Timestamp) -> Waiter {
    Waiter {
        position,
        holder: view.holder.as_ref().map(lease_holder),
        labels: leases::labels(view.notes.as_deref()),
        origin: view.origin.as_deref().map(origin),
        slots: view.slots,
        priority: view.priority.into(),
        since: timestamp(view.since),
        age_seconds: now.since(view.since).as_seconds_f64(),
        blocked_by: view.blockers.iter().map(|blocker| (*blocker.limit.name).to_owned()).collect(),
        slots_without_lease: unleased::of_blockers(&view.blockers),
        stuck: view.stuck.iter().map(stuck_on).collect(),
    }
}

pub(crate) fn stuck_on(on: &StuckOn) -> WireStuckOn {
    WireStuckOn {
        limit: (*on.limit).to_owned(),
        lease: Uuid::from_u128(on.lease.0),
        holder: on.holder.as_ref().map(lease_holder),
        origin: on.origin.as_deref().map(origin),
        is_own: on.is_own,
        waits_for: on.waits_for.iter().map(|name| (**name).to_owned()).collect(),
    }
}

fn lease_holder(holder: &Holder) -> LeaseHolder {
    LeaseHolder { r#type: (*holder.kind).to_owned(), id: (*holder.id).to_owned() }
}

/// Where the request for a lease came from.
pub(crate) fn origin(origin: &Origin) -> WireOrigin {
    WireOrigin {
        address: origin.address.map(|address| address.to_string()),
        client: origin.client.as_deref().map(str::to_owned),
        flow: named(&origin.flow),
        deployment: named(&origin.deployment),
        worker: named(&origin.worker),
        identified: origin.identified.as_deref().map(|identified| WireIdentified {
            flow_run: named(&identified.flow_run),
            task_run: named(&identified.task_run),
            certainty: match identified.certainty {
                Certainty::Certain => WireCertainty::Certain,
                Certainty::Likely => WireCertainty::Likely,
            },
        }),
    }
}

fn named(named: &Named) -> Option<WireNamed> {
    let owned = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let known = WireNamed { id: owned(&named.id), name: owned(&named.name) };
    (!named.is_empty()).then_some(known)
}
