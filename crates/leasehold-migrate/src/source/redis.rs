//! Leases in the Redis storage of prefect-redis: a string of JSON for each.

use redis::AsyncCommands;

use super::lease_json;
use crate::error::{Error, causes};
use crate::place::LeasePlace;
use crate::prefect::Lease;

/// The second prefix is that of a cluster.
const PATTERNS: [&str; 2] = ["prefect:concurrency:lease:*", "{prefect:concurrency}:lease:*"];
const KEYS_AT_ONCE: usize = 500;

pub(super) async fn read(
    url: &str,
    place: &LeasePlace,
    notes: &mut Vec<String>,
) -> Result<Vec<Lease>, Error> {
    let failed = |error: redis::RedisError| {
        let (place, reason) = (place.to_string(), causes(&error));
        match error.kind() {
            redis::ErrorKind::AuthenticationFailed => Error::Login { place, reason },
            _ => Error::Unreachable { place, reason },
        }
    };
    let client = redis::Client::open(url).map_err(failed)?;
    let mut connection = client.get_multiplexed_async_connection().await.map_err(failed)?;
    let mut keys: Vec<String> = Vec::new();
    for pattern in PATTERNS {
        let mut found = connection.scan_match(pattern).await.map_err(failed)?;
        while let Some(key) = found.next_item().await {
            keys.push(key.map_err(failed)?);
        }
    }
    // SCAN may return a key twice.
    keys.sort();
    keys.dedup();
    let mut leases = Vec::new();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let values: Vec<Option<String>> = connection.mget(keys).await.map_err(failed)?;
        for (key, value) in keys.iter().zip(values) {
            match value.map(|text| lease_json::read(&text)) {
                Some(Ok(lease)) => leases.push(lease),
                Some(Err(reason)) => notes.push(format!("the lease {key} is left out: {reason}")),
                None => {}
            }
        }
    }
    Ok(leases)
}
