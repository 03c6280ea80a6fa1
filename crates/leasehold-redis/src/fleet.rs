//! The fleet: its phase, the processes that follow it, and the step from one phase to the next.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Value;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::keys::Keys;
use crate::phase::{Phase, PhaseState};
use crate::redis_connection::Redis;
use crate::scripts::PHASE_MOVE;

/// What a process says of itself; the JSON in its heartbeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) applies: String,
    pub(crate) longest_ttl_ms: u64,
    pub(crate) holding: BTreeMap<String, String>,
}

/// A process that follows the phase, as its last heartbeat described it.
#[derive(Clone, Debug, Serialize)]
pub struct Process {
    /// Its id in the list of processes.
    pub id: String,
    /// The program's name.
    pub name: String,
    /// The host that it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// The phase that it applies.
    pub applies: String,
    /// The epoch that it has confirmed: none of its locks stands in the way of leaving the phase of
    /// that epoch.
    pub confirmed: u64,
    /// The locks that it holds, with the mechanism of each.
    pub holding: BTreeMap<String, String>,
    /// The longest ttl of its locks, in milliseconds.
    #[serde(rename = "longest_ttl_seconds", serialize_with = "crate::moment::ms_as_seconds")]
    pub longest_ttl_ms: u64,
    /// Whether its last heartbeat still counts.
    pub is_alive: bool,
}

/// The phase and the processes that follow it, at one moment.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The phase.
    pub phase: PhaseState,
    /// All processes with a heartbeat in the last hour.
    pub processes: Vec<Process>,
}

/// What has to hold for a phase to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveRule {
    /// Every living process has confirmed the present phase.
    Confirmed,
    /// No process is alive: for a migration during a downtime.
    NoneAlive,
    /// No condition.
    Force,
}

/// Why the phase was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// Another operator changed it meanwhile.
    #[error("another operator moved the phase meanwhile, to epoch {epoch}")]
    MovedMeanwhile {
        /// The present epoch.
        epoch: i64,
    },
    /// These processes stand in the way.
    #[error("{} process(es) have not confirmed the phase", ids.len())]
    NotConfirmed {
        /// Their ids.
        ids: Vec<String>,
    },
    /// Redis cannot be asked.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Fleet {
    /// Reads phase and processes.
    ///
    /// # Errors
    /// When Redis cannot be asked, or the phase key holds no phase.
    pub async fn read(redis: &Redis, keys: &Keys) -> Result<Self, Fault> {
        let phase = PhaseState::read(redis, keys).await?;
        let now_ms = redis.time().await? * 1_000.0;
        let mut all = redis::cmd("HGETALL");
        all.arg(keys.processes());
        let heartbeats: BTreeMap<String, String> = redis.query(all).await?;
        let processes = heartbeats
            .into_iter()
            .filter_map(|(id, beat)| Process::read(id, &beat, now_ms))
            .collect();
        Ok(Self { phase, processes })
    }

    /// The living processes.
    pub fn alive(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.is_alive)
    }

    /// The living processes that have not confirmed the phase.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &Process> {
        self.alive().filter(|process| process.confirmed != self.phase.epoch)
    }

    /// The longest ttl that a living process uses.
    #[must_use]
    pub fn longest_ttl(&self) -> Duration {
        Duration::from_millis(self.alive().map(|process| process.longest_ttl_ms).max().unwrap_or(0))
    }

    /// Changes the phase in one step, if it is still the one that was read and `rule` holds.
    /// Returns the new epoch.
    ///
    /// # Errors
    /// When the rule does not hold, the phase was changed meanwhile, or Redis cannot be asked.
    pub async fn move_to(
        &self,
        redis: &Redis,
        keys: &Keys,
        phase: Phase,
        rule: MoveRule,
        by: &str,
    ) -> Result<u64, MoveError> {
        let rule = match rule {
            MoveRule::Confirmed => "confirmed",
            MoveRule::NoneAlive => "none-alive",
            MoveRule::Force => "force",
        };
        let args = vec![
            self.phase.epoch.to_string(),
            phase.as_str().to_owned(),
            by.to_owned(),
            rule.to_owned(),
        ];
        let answer: Vec<Value> =
            redis.run(&PHASE_MOVE, vec![keys.phase(), keys.processes()], args).await?;
        match answer.as_slice() {
            [Value::Int(1), Value::Int(epoch)] => Ok(u64::try_from(*epoch).unwrap_or(0)),
            [Value::Int(0), Value::Int(epoch)] => Err(MoveError::MovedMeanwhile { epoch: *epoch }),
            [Value::Int(-1), ids @ ..] => {
                let ids = ids.iter().filter_map(|id| match id {
                    Value::BulkString(id) => Some(String::from_utf8_lossy(id).into_owned()),
                    _ => None,
                });
                Err(MoveError::NotConfirmed { ids: ids.collect() })
            }
            _ => Err(Fault::unexpected(format!("{answer:?}")).into()),
        }
    }
}

impl Process {
    fn read(id: String, beat: &str, now_ms: f64) -> Option<Self> {
        let mut words = beat.splitn(3, ' ');
        let deadline_ms: f64 = words.next()?.parse().ok()?;
        let confirmed = words.next()?.parse().ok()?;
        let description: Description = serde_json::from_str(words.next()?).ok()?;
        Some(Self {
            id,
            name: description.name,
            host: description.host,
            pid: description.pid,
            applies: description.applies,
            confirmed,
            holding: description.holding,
            longest_ttl_ms: description.longest_ttl_ms,
            is_alive: deadline_ms > now_ms,
        })
    }
}
