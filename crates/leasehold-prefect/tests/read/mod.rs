//! Bodies by endpoint, and the values read in them as JSON.

use leasehold_prefect::limits::{
    CreateLimit, Decrement, Filter, Increment, IncrementWithLease, ReleaseLease, RenewLease,
    UpdateLimit,
};
use leasehold_prefect::tags::{CreateTagLimit, ResetTag, TagDecrement, TagIncrement};
use leasehold_prefect::{Body, Invalid, Patch, Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Endpoint {
    Create,
    Update,
    Filter,
    Increment,
    IncrementWithLease,
    Decrement,
    Release,
    Renew,
    CreateTag,
    IncrementTag,
    DecrementTag,
    ResetTag,
}

pub(crate) fn read(
    endpoint: Endpoint,
    id: Option<&str>,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Value, Invalid> {
    // What was recorded came from 3.8 and before.
    let settings = Settings { may_name_nothing: true, ..Settings::default() };
    macro_rules! fields {
        ($type:ty, $($field:ident),+) => {{
            let body = <$type>::from_bytes(content_type, bytes, &settings)?;
            json!({$(stringify!($field): body.$field),+})
        }};
    }
    Ok(match endpoint {
        Endpoint::Create => fields!(
            CreateLimit,
            active,
            name,
            limit,
            active_slots,
            denied_slots,
            slot_decay_per_second
        ),
        Endpoint::Update => updated(&UpdateLimit::from_bytes(content_type, bytes, &settings)?),
        Endpoint::Filter => fields!(Filter, limit, offset),
        Endpoint::Increment => fields!(Increment, slots, names, mode, create_if_missing),
        Endpoint::IncrementWithLease => {
            fields!(IncrementWithLease, slots, names, mode, lease_duration, holder)
        }
        Endpoint::Decrement => {
            fields!(Decrement, slots, names, occupancy_seconds, create_if_missing)
        }
        Endpoint::Release => fields!(ReleaseLease, lease_id),
        Endpoint::Renew => {
            let id = id.unwrap_or("e132a953-0824-4c81-b5d7-61c3ef6c3bb0");
            let (_, body) = RenewLease::from_parts("lease_id", id, content_type, bytes, &settings)?;
            json!({"lease_duration": body.lease_duration})
        }
        Endpoint::CreateTag => fields!(CreateTagLimit, tag, concurrency_limit),
        Endpoint::IncrementTag => fields!(TagIncrement, names, task_run_id),
        Endpoint::DecrementTag => fields!(TagDecrement, names, task_run_id),
        Endpoint::ResetTag => fields!(ResetTag, slot_override),
    })
}

fn updated(body: &UpdateLimit) -> Value {
    fn insert<T: Serialize>(sent: &mut Map<String, Value>, name: &str, patch: &Patch<T>) {
        if patch.is_sent() {
            sent.insert(name.to_owned(), json!(patch.as_set()));
        }
    }
    let mut sent = Map::new();
    insert(&mut sent, "active", &body.active);
    insert(&mut sent, "name", &body.name);
    insert(&mut sent, "limit", &body.limit);
    insert(&mut sent, "active_slots", &body.active_slots);
    insert(&mut sent, "denied_slots", &body.denied_slots);
    insert(&mut sent, "slot_decay_per_second", &body.slot_decay_per_second);
    sent.into()
}
