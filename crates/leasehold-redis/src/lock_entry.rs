//! A live lock: both of its keys at one moment, and its holder.

use std::time::Duration;

use crate::expiry::OldExpiry;
use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::holders::{Holder, holders, housekeeping};
use crate::keys::Keys;
use crate::moment::point_if_any;
use crate::phase::Mechanism;
use crate::redis_connection::Redis;

/// A live lock.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LockEntry {
    /// Its id: what follows the prefix in its keys.
    pub id: String,
    /// Which of its keys are live: `old`, `token`, or `dual` for both.
    #[serde(serialize_with = "name")]
    pub mechanism: Mechanism,
    /// When it expires unless it is renewed, in Unix seconds by Redis's clock; `None` for never.
    #[serde(serialize_with = "point_if_any")]
    pub until: Option<f64>,
    /// Its holder, if it is known.
    pub holder: Option<Holder>,
    #[serde(skip)]
    pub(crate) old_value: Option<Vec<u8>>,
    /// When it was read, in Unix seconds by Redis's clock.
    #[serde(skip)]
    seen_at: f64,
}

impl LockEntry {
    /// Looks at one lock; `None` if it is free.
    ///
    /// # Errors
    /// When Redis cannot be asked, or has the two keys of a lock on different nodes.
    pub async fn look(redis: &Redis, keys: &Keys, id: &str) -> Result<Option<Self>, Fault> {
        let pairs = read_pairs(redis, keys, &[id.to_owned()]).await?;
        let mut live: Vec<Self> = pairs.iter().filter_map(Pair::entry).collect();
        name_holders(redis, keys, &Fleet::read(redis, keys).await?, &mut live).await?;
        Ok(live.pop())
    }

    /// How long it was still held when it was read, unless it is renewed; `None` for ever.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        Some(Duration::try_from_secs_f64(self.until? - self.seen_at).unwrap_or_default())
    }
}

fn name<S: serde::Serializer>(mechanism: &Mechanism, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(mechanism.as_str())
}

/// Both keys of one id, read at one moment.
pub(crate) struct Pair {
    pub(crate) id: String,
    pub(crate) old: Option<Vec<u8>>,
    pub(crate) old_ttl_ms: i64,
    pub(crate) token: Option<Vec<u8>>,
    pub(crate) token_ttl_ms: i64,
    pub(crate) at: f64,
}

impl Pair {
    pub(crate) fn entry(&self) -> Option<LockEntry> {
        let old =
            self.old.as_deref().map(OldExpiry::read).filter(|expiry| expiry.is_live_at(self.at));
        let token_until = self.token.as_ref().map(|_| {
            let left = u32::try_from(self.token_ttl_ms).ok()?;
            Some(self.at + f64::from(left) / 1_000.0)
        });
        let old_until = old.map(|expiry| match expiry {
            OldExpiry::Until(until) => Some(until),
            OldExpiry::Forever => None,
        });
        let (mechanism, until) = match (old_until, token_until) {
            (None, None) => return None,
            (Some(until), None) => (Mechanism::Old, until),
            (None, Some(until)) => (Mechanism::Token, until),
            (Some(old), Some(token)) => {
                (Mechanism::Dual, old.zip(token).map(|(old, token)| old.max(token)))
            }
        };
        Some(LockEntry {
            id: self.id.clone(),
            mechanism,
            until,
            holder: None,
            old_value: self.old.clone(),
            seen_at: self.at,
        })
    }
}

pub(crate) async fn read_pairs(
    redis: &Redis,
    keys: &Keys,
    ids: &[String],
) -> Result<Vec<Pair>, Fault> {
    let mut pipeline = redis::pipe();
    // One transaction: it never sees half of a dual lock.
    pipeline.atomic();
    pipeline.cmd("TIME");
    for id in ids {
        pipeline.cmd("MGET").arg(keys.old_lock(id)).arg(keys.token_lock(id));
        pipeline.cmd("PTTL").arg(keys.old_lock(id));
        pipeline.cmd("PTTL").arg(keys.token_lock(id));
    }
    let mut answers = redis.pipeline(pipeline).await?;
    let at = answers.next_time()?;
    let mut pairs = Vec::with_capacity(ids.len());
    for id in ids {
        let (old, token): (Option<Vec<u8>>, Option<Vec<u8>>) = answers.next()?;
        let (old_ttl_ms, token_ttl_ms) = (answers.next()?, answers.next()?);
        pairs.push(Pair { id: id.clone(), old, old_ttl_ms, token, token_ttl_ms, at });
    }
    Ok(pairs)
}

/// Finds the holders of these locks.
pub(crate) async fn name_holders(
    redis: &Redis,
    keys: &Keys,
    fleet: &Fleet,
    live: &mut [LockEntry],
) -> Result<(), Fault> {
    if live.is_empty() {
        return Ok(());
    }
    let known = holders(redis, keys, &fleet.processes).await?;
    for entry in live {
        entry.holder = known.get(&entry.id).cloned().or_else(|| housekeeping(&entry.id));
    }
    Ok(())
}
