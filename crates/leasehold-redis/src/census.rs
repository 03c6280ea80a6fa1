//! A census of the keyspace: which locks are live, in which mechanism, and who holds them. It walks
//! with SCAN and never blocks Redis.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use redis::Value;

use crate::expiry::OldExpiry;
use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::holders::{Holder, holders, housekeeping};
use crate::keys::Keys;
use crate::moment::{point, point_if_any};
use crate::phase::Mechanism;
use crate::redis_connection::Redis;

/// How gently to walk.
#[derive(Clone, Debug)]
pub struct CensusOptions {
    /// Pause between two SCAN calls.
    pub pace: Duration,
    /// How many keys Redis looks at in one SCAN call.
    pub count: usize,
}

impl Default for CensusOptions {
    fn default() -> Self {
        Self { pace: Duration::from_millis(2), count: 1_000 }
    }
}

/// A live lock.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LockEntry {
    /// Its id: what follows the prefix in its keys.
    pub id: String,
    /// Which of its keys are live: `old`, `token`, or `dual` for both.
    #[serde(serialize_with = "name")]
    pub mechanism: Mechanism,
    /// When it runs out unless it is renewed, in Unix seconds by Redis's clock; `None` for never.
    #[serde(serialize_with = "point_if_any")]
    pub until: Option<f64>,
    /// Who holds it, where that can be told.
    pub holder: Option<Holder>,
    #[serde(skip)]
    old_value: Option<Vec<u8>>,
    /// When it was looked at, in Unix seconds by Redis's clock.
    #[serde(skip)]
    seen_at: f64,
}

impl LockEntry {
    /// Looks at one lock; `None` when nobody holds it.
    ///
    /// # Errors
    /// When Redis cannot be asked, or has the two keys of a lock on different nodes.
    pub async fn look(redis: &Redis, keys: &Keys, id: &str) -> Result<Option<Self>, Fault> {
        let pairs = read_pairs(redis, keys, &[id.to_owned()]).await?;
        let mut live: Vec<Self> = pairs.iter().filter_map(Pair::entry).collect();
        if !live.is_empty() {
            let fleet = Fleet::read(redis, keys).await?;
            name_holders(redis, keys, &fleet, &mut live).await?;
        }
        Ok(live.pop())
    }

    /// How long it was held from the moment of looking on, unless it is renewed; `None` for ever.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        Some(Duration::try_from_secs_f64(self.until? - self.seen_at).unwrap_or_default())
    }
}

fn name<S: serde::Serializer>(mechanism: &Mechanism, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(mechanism.as_str())
}

/// The old keys that nobody holds: they stay for ever, for they have no TTL.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct OldLockState {
    /// How many there are.
    pub dead: u64,
    /// How many of them have a TTL, as after a cleanup.
    pub dead_with_ttl: u64,
    /// When the last of them ran out, in Unix seconds.
    #[serde(serialize_with = "point_if_any")]
    pub last_ran_out: Option<f64>,
}

/// A semaphore with its holders.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SemaphoreEntry {
    /// The queue.
    pub queue: String,
    /// Who holds it.
    pub holders: Vec<SemaphoreMember>,
}

/// One holder of a semaphore.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SemaphoreMember {
    /// The holder's id, for TaskTiger that of the worker. `SYSTEM_LOCK` keeps everybody out.
    pub id: String,
    /// When it runs out, in Unix seconds.
    #[serde(serialize_with = "point")]
    pub until: f64,
    /// Whether it has not run out yet.
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

/// How long a lock that is just being taken or running out may look like what it is not.
const SETTLING: Duration = Duration::from_millis(120);
/// So many keys are asked about in one round trip.
const BATCH: usize = 500;

impl Census {
    /// Takes the census. `progress` hears how many locks have been seen so far.
    ///
    /// # Errors
    /// When Redis cannot be asked, or is a cluster, whose nodes have to be looked at one by one.
    pub async fn take(
        redis: &Redis,
        keys: &Keys,
        fleet: &Fleet,
        options: &CensusOptions,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, Fault> {
        if redis.is_cluster() {
            let cause = "a census reads one server: ask each master of the cluster by its own redis:// address";
            return Err(Fault::Refused { cause: cause.to_owned() });
        }
        let mut counting = Counting {
            redis,
            keys,
            live: BTreeMap::new(),
            old: OldLockState::default(),
            dead: BTreeSet::new(),
        };
        let mut queues = BTreeSet::new();
        let mut cursor = 0_u64;
        let mut seen = 0;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern(keys)).arg("COUNT").arg(options.count);
            let (next, found): (u64, Vec<Vec<u8>>) = redis.query(scan).await?;
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
            seen += u64::try_from(ids.len()).unwrap_or(0);
            counting.look(&ids.into_iter().collect::<Vec<_>>()).await?;
            progress(seen);
            cursor = next;
            if cursor == 0 {
                break;
            }
            tokio::time::sleep(options.pace).await;
        }
        counting.settle().await?;
        let mut live: Vec<LockEntry> = counting.live.into_values().collect();
        let old = counting.old;
        name_holders(redis, keys, fleet, &mut live).await?;
        let semaphores = semaphores(redis, keys, queues).await?;
        Ok(Self { at: redis.time().await?, live, old, semaphores })
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

    /// The holders of semaphores that are alive.
    pub fn live_members(&self) -> impl Iterator<Item = (&str, &SemaphoreMember)> {
        self.semaphores.iter().flat_map(|semaphore| {
            let live = semaphore.holders.iter().filter(|holder| holder.is_live);
            live.map(|holder| (semaphore.queue.as_str(), holder))
        })
    }
}

/// Matches `lock`, `lockv2` and `qslock` in one walk; what else it matches is sorted out by name.
fn pattern(keys: &Keys) -> String {
    keys.pattern("*lock*")
}

struct Counting<'a> {
    redis: &'a Redis,
    keys: &'a Keys,
    live: BTreeMap<String, LockEntry>,
    old: OldLockState,
    dead: BTreeSet<String>,
}

impl Counting<'_> {
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

    /// Looks again at locks that have one half only. A dual lock looks like that for a moment,
    /// while it is taken, given back or running out.
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
                // A lock with the old half alone that was given back meanwhile was there all the
                // same.
                let was_given_back = pair.old.is_none()
                    && first.is_some_and(|entry| {
                        entry.mechanism == Mechanism::Old && entry.old_value.is_some()
                    });
                if !(was_given_back && pair.token.is_none()) {
                    self.add(pair);
                }
            }
        }
        Ok(())
    }
}

/// Both keys of one id, read at one moment.
struct Pair {
    id: String,
    old: Option<Vec<u8>>,
    old_ttl_ms: i64,
    token: Option<Vec<u8>>,
    token_ttl_ms: i64,
    at: f64,
}

impl Pair {
    fn entry(&self) -> Option<LockEntry> {
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

async fn read_pairs(redis: &Redis, keys: &Keys, ids: &[String]) -> Result<Vec<Pair>, Fault> {
    let mut pipeline = redis::pipe();
    // One transaction, so that no dual lock is seen half taken.
    pipeline.atomic();
    pipeline.cmd("TIME");
    for id in ids {
        pipeline.cmd("MGET").arg(keys.old_lock(id)).arg(keys.token_lock(id));
        pipeline.cmd("PTTL").arg(keys.old_lock(id));
        pipeline.cmd("PTTL").arg(keys.token_lock(id));
    }
    let mut answers = redis.pipeline(pipeline).await?.into_iter();
    let (seconds, micros): (f64, f64) = next(&mut answers)?;
    let at = seconds + micros / 1_000_000.0;
    let mut pairs = Vec::with_capacity(ids.len());
    for id in ids {
        let (old, token): (Option<Vec<u8>>, Option<Vec<u8>>) = next(&mut answers)?;
        let old_ttl_ms = next(&mut answers)?;
        let token_ttl_ms = next(&mut answers)?;
        pairs.push(Pair { id: id.clone(), old, old_ttl_ms, token, token_ttl_ms, at });
    }
    Ok(pairs)
}

fn next<T: redis::FromRedisValue>(answers: &mut impl Iterator<Item = Value>) -> Result<T, Fault> {
    let value = answers.next().ok_or_else(|| Fault::unexpected("fewer answers than questions"))?;
    T::from_redis_value(value).map_err(|error| Fault::unexpected(error.to_string()))
}

async fn name_holders(
    redis: &Redis,
    keys: &Keys,
    fleet: &Fleet,
    live: &mut [LockEntry],
) -> Result<(), Fault> {
    let mut known: HashMap<String, Holder> = HashMap::new();
    if !live.is_empty() {
        known = holders(redis, keys, &fleet.processes).await?;
    }
    for entry in live {
        entry.holder = known.get(&entry.id).cloned().or_else(|| housekeeping(&entry.id));
    }
    Ok(())
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
        // A key of this name that is no sorted set is no semaphore.
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
