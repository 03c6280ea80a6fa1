//! A census of the keyspace: which locks are live, in which mechanism, and who holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::expiry::OldExpiry;
use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::keys::Keys;
use crate::lock_entry::{LockEntry, Pair, name_holders, read_pairs};
use crate::moment::{point, point_if_any};
use crate::phase::Mechanism;
use crate::redis_connection::Redis;
use crate::walk::{BATCH, Pace, Walk};

/// The old keys whose lock has expired. They have no TTL, so that they stay for ever.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct OldLockState {
    /// How many there are.
    pub dead: u64,
    /// How many of them have a TTL, as after a cleanup.
    pub dead_with_ttl: u64,
    /// When the last of them expired, in Unix seconds.
    #[serde(serialize_with = "point_if_any")]
    pub last_ran_out: Option<f64>,
}

/// A semaphore with its holders.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SemaphoreEntry {
    /// The queue.
    pub queue: String,
    /// Its holders.
    pub holders: Vec<SemaphoreMember>,
}

/// One holder of a semaphore.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SemaphoreMember {
    /// The holder's id: for TaskTiger the worker's, and `SYSTEM_LOCK` for a system lock.
    pub id: String,
    /// When its slot expires, in Unix seconds.
    #[serde(serialize_with = "point")]
    pub until: f64,
    /// Whether its slot has not expired yet.
    pub is_live: bool,
}

/// What is in the keyspace.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Census {
    /// When it ended, in Unix seconds by Redis's clock.
    #[serde(serialize_with = "point")]
    pub at: f64,
    /// The live locks, by id.
    pub live: Vec<LockEntry>,
    /// The dead old keys.
    pub old: OldLockState,
    /// The semaphores.
    pub semaphores: Vec<SemaphoreEntry>,
}

/// For so long one half of a dual lock may be seen alone, while the lock is taken or expires.
const SETTLING: Duration = Duration::from_millis(120);
impl Census {
    /// Takes the census. `progress` is called with the number of locks seen so far.
    ///
    /// # Errors
    /// When Redis cannot be asked, or is a cluster, whose nodes have to be looked at one by one.
    pub async fn take(
        redis: &Redis,
        keys: &Keys,
        fleet: &Fleet,
        pace: &Pace,
        mut progress: impl FnMut(usize),
    ) -> Result<Self, Fault> {
        let mut count = Count {
            redis,
            keys,
            live: BTreeMap::new(),
            old: OldLockState::default(),
            dead: BTreeSet::new(),
        };
        let mut queues = BTreeSet::new();
        let mut seen = 0;
        // Matches `lock`, `lockv2` and `qslock`; the names sort out what else it matches.
        let mut walk = Walk::start(redis, Some(keys.pattern("*lock*")), pace)?;
        while let Some(found) = walk.next().await? {
            let mut ids = BTreeSet::new();
            for key in found {
                let Ok(key) = String::from_utf8(key) else {
                    continue;
                };
                if let Some(id) = keys.id_of("lock", &key).or_else(|| keys.id_of("lockv2", &key)) {
                    ids.insert(id.to_owned());
                } else if let Some(queue) = keys.id_of("qslock", &key) {
                    queues.insert(queue.to_owned());
                }
            }
            seen += ids.len();
            count.look(&ids.into_iter().collect::<Vec<_>>()).await?;
            progress(seen);
        }
        count.settle().await?;
        let mut live: Vec<LockEntry> = count.live.into_values().collect();
        name_holders(redis, keys, fleet, &mut live).await?;
        let semaphores = semaphores(redis, keys, queues).await?;
        Ok(Self { at: redis.time().await?, live, old: count.old, semaphores })
    }

    /// How many live locks there are of a mechanism.
    #[must_use]
    pub fn count(&self, mechanism: Mechanism) -> usize {
        self.of(mechanism).count()
    }

    /// The live locks of a mechanism.
    pub fn of(&self, mechanism: Mechanism) -> impl Iterator<Item = &LockEntry> {
        self.live.iter().filter(move |entry| entry.mechanism == mechanism)
    }

    /// The live holders of semaphores.
    pub fn live_members(&self) -> impl Iterator<Item = (&str, &SemaphoreMember)> {
        self.semaphores.iter().flat_map(|semaphore| {
            let live = semaphore.holders.iter().filter(|holder| holder.is_live);
            live.map(|holder| (semaphore.queue.as_str(), holder))
        })
    }
}

struct Count<'a> {
    redis: &'a Redis,
    keys: &'a Keys,
    live: BTreeMap<String, LockEntry>,
    old: OldLockState,
    dead: BTreeSet<String>,
}

impl Count<'_> {
    async fn look(&mut self, ids: &[String]) -> Result<(), Fault> {
        for ids in ids.chunks(BATCH) {
            for pair in read_pairs(self.redis, self.keys, ids).await? {
                self.add(pair);
            }
        }
        Ok(())
    }

    fn add(&mut self, pair: Pair) {
        match pair.entry() {
            Some(entry) => {
                self.live.insert(entry.id.clone(), entry);
            }
            None => {
                self.live.remove(&pair.id);
                if let Some(OldExpiry::Until(until)) = pair.old.as_deref().map(OldExpiry::read)
                    && self.dead.insert(pair.id)
                {
                    self.old.dead += 1;
                    self.old.dead_with_ttl += u64::from(pair.old_ttl_ms >= 0);
                    self.old.last_ran_out =
                        Some(self.old.last_ran_out.map_or(until, |last| last.max(until)));
                }
            }
        }
    }

    /// Looks again at locks of which it saw one half: a dual lock looks like that for a moment,
    /// while it is taken, released or expires.
    async fn settle(&mut self) -> Result<(), Fault> {
        let halves = self.live.values().filter(|entry| entry.mechanism != Mechanism::Dual);
        let ids: Vec<String> = halves.map(|entry| entry.id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(SETTLING).await;
        for ids in ids.chunks(BATCH) {
            for pair in read_pairs(self.redis, self.keys, ids).await? {
                let first = self.live.get(&pair.id);
                // A lock with the old half alone that was released meanwhile counts: it was held.
                let was_released = pair.old.is_none()
                    && first.is_some_and(|entry| {
                        entry.mechanism == Mechanism::Old && entry.old_value.is_some()
                    });
                if !(was_released && pair.token.is_none()) {
                    self.add(pair);
                }
            }
        }
        Ok(())
    }
}

async fn semaphores(
    redis: &Redis,
    keys: &Keys,
    queues: BTreeSet<String>,
) -> Result<Vec<SemaphoreEntry>, Fault> {
    let now = redis.time().await?;
    let mut entries = Vec::new();
    for queue in queues {
        let mut range = redis::cmd("ZRANGE");
        range.arg(keys.semaphore(&queue)).arg(0).arg(-1).arg("WITHSCORES");
        // A key with this name that is no sorted set is no semaphore.
        let Ok(members) = redis.query::<Vec<(String, f64)>>(range).await else {
            continue;
        };
        let holders = members.into_iter().map(|(id, until)| SemaphoreMember {
            id,
            until,
            is_live: until > now,
        });
        entries.push(SemaphoreEntry { queue, holders: holders.collect() });
    }
    Ok(entries)
}
