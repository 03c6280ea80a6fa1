//! A lease as Prefect stores it, in a file or in Redis.

use serde_json::Value;
use uuid::Uuid;

use crate::moment;
use crate::prefect::{Holder, Lease};

/// Reads `{id, resource_ids, metadata: {slots, holder?: {type, id}} | null, expiration,
/// created_at}`.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn read(text: &str) -> Result<Lease, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let uuid = |value: &Value| value.as_str().and_then(|text| Uuid::parse_str(text).ok());
    let time = |name: &str| {
        let at = value[name].as_str().and_then(moment::parse);
        at.ok_or_else(|| format!("{name} is no time: {}", value[name]))
    };
    let limits = value["resource_ids"].as_array().and_then(|ids| ids.iter().map(uuid).collect());
    let (created, deadline) = (time("created_at")?, time("expiration")?);
    let metadata = &value["metadata"];
    let holder = &metadata["holder"];
    Ok(Lease {
        id: uuid(&value["id"]).ok_or_else(|| format!("id is no UUID: {}", value["id"]))?,
        limits: limits.ok_or_else(|| format!("resource_ids: {}", value["resource_ids"]))?,
        slots: metadata["slots"].as_u64().unwrap_or(0),
        holder: holder["type"]
            .as_str()
            .zip(uuid(&holder["id"]))
            .map(|(kind, id)| Holder { kind: kind.to_owned(), id }),
        created,
        deadline: Lease::deadline(created, deadline),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_a_real_server_is_read() {
        let lease = read(
            r#"{"id": "34fd485a-2011-426d-aa65-7764db3de471",
            "resource_ids": ["93bb42b7-652f-4993-b44a-e52e8dfd0f48"], "metadata": {"slots": 2,
            "holder": {"type": "flow_run", "id": "ffdf5dd0-0217-4dd4-91c3-80e76dae1543"}},
            "expiration": "2026-11-28T09:23:37.230795+00:00",
            "created_at": "2026-11-27T09:23:37.230806+00:00"}"#,
        )
        .unwrap();
        assert_eq!(lease.slots, 2);
        assert_eq!(lease.holder.unwrap().kind, "flow_run");
        assert!(lease.deadline.is_some());
    }

    #[test]
    fn a_hundred_years_are_no_deadline() {
        let lease = read(
            r#"{"id": "3e5537de-f3a4-45ae-a86b-680f4812ff22", "resource_ids": [],
            "metadata": {"slots": 1}, "expiration": "2126-11-03T09:23:38.627938+00:00",
            "created_at": "2026-11-27T09:23:38.627946+00:00"}"#,
        )
        .unwrap();
        assert_eq!((lease.deadline, lease.holder), (None, None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(read("{").is_err());
        let wrong = read(r#"{"id": "x", "created_at": "soon"}"#).unwrap_err();
        assert_eq!(wrong, r#"created_at is no time: "soon""#);
    }
}
