//! Conversions between wire types and the engine's that all doors share. Each door has further ones
//! of its own.

pub(crate) mod unleased;

use std::collections::BTreeMap;

use leasehold_api::leases::{HeldLimit, LeaseHolder, Mode as WireMode, StuckOn as WireStuckOn};
use leasehold_engine::{Holder, LeaseId, LeaseView, Mode, Notes, Page, StuckOn};
use uuid::Uuid;

pub(crate) use crate::event_log::convert::{origin, timestamp};

pub(crate) fn lease_id(id: Uuid) -> LeaseId {
    LeaseId(id.as_u128())
}

pub(crate) fn mode(mode: WireMode) -> Mode {
    match mode {
        WireMode::Concurrency => Mode::Concurrency,
        WireMode::RateLimit => Mode::RateLimit,
    }
}

pub(crate) fn page(offset: u64, limit: u64) -> Page {
    let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Page { offset: size(offset), limit: size(limit) }
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

pub(crate) fn lease_holder(holder: &Holder) -> LeaseHolder {
    LeaseHolder { r#type: (*holder.kind).to_owned(), id: (*holder.id).to_owned() }
}

pub(crate) fn held(view: &LeaseView) -> Vec<HeldLimit> {
    let held = view.lease.holdings.iter().zip(&view.names);
    held.map(|(holding, name)| HeldLimit {
        id: Uuid::from_u128(holding.limit.0),
        name: (**name).to_owned(),
        slots: holding.slots,
    })
    .collect()
}

pub(crate) fn labels(notes: Option<&Notes>) -> BTreeMap<String, String> {
    let labels = notes.into_iter().flat_map(|notes| &notes.labels);
    labels.map(|(name, value)| ((**name).to_owned(), (**value).to_owned())).collect()
}
