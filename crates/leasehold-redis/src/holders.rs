//! The known holders of locks: our programs by their heartbeats, and TaskTiger's workers by their
//! active tasks.

use std::collections::HashMap;
use std::fmt;

use leasehold_python_json::Json;
use redis::Value;

use crate::fault::Fault;
use crate::fleet::Process;
use crate::keys::Keys;
use crate::lock_id::{keyed_lock_id, lock_id};
use crate::redis_connection::Redis;

/// The most active tasks of a queue that are read.
const TASKS_MAX: isize = 10_000;

/// The holder of a lock, as far as Redis knows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Holder {
    /// A program that uses this crate and follows the phase.
    Process {
        /// Its name.
        name: String,
        /// Its host.
        host: String,
        /// Its process id there.
        pid: u32,
    },
    /// An active task of TaskTiger.
    Task {
        /// The task's id.
        task: String,
        /// Its function.
        func: String,
        /// Its queue.
        queue: String,
    },
    /// A TaskTiger worker at its housekeeping.
    Worker {
        /// What it does.
        doing: &'static str,
    },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { name, host, pid } => write!(f, "{name}, pid {pid} on {host}"),
            Self::Task { task, func, queue } => {
                write!(f, "task {} of {func} in queue {queue}", task.get(..8).unwrap_or(task))
            }
            Self::Worker { doing } => write!(f, "a worker {doing}"),
        }
    }
}

/// The holders by lock id.
pub(crate) async fn holders(
    redis: &Redis,
    keys: &Keys,
    processes: &[Process],
) -> Result<HashMap<String, Holder>, Fault> {
    let mut found = task_holders(redis, keys).await?;
    for process in processes.iter().filter(|process| process.is_alive) {
        for id in process.holding.keys() {
            let Process { name, host, pid, .. } = process;
            found.insert(
                id.clone(),
                Holder::Process { name: name.clone(), host: host.clone(), pid: *pid },
            );
        }
    }
    Ok(found)
}

/// The holder of a lock that has a name instead of a hash.
pub(crate) fn housekeeping(id: &str) -> Option<Holder> {
    if id == "queue_expired_tasks" {
        Some(Holder::Worker { doing: "requeueing expired tasks" })
    } else if id.starts_with("queue_scheduled_tasks:") || id == "queue_scheduled_tasks" {
        Some(Holder::Worker { doing: "moving scheduled tasks" })
    } else {
        None
    }
}

async fn task_holders(redis: &Redis, keys: &Keys) -> Result<HashMap<String, Holder>, Fault> {
    let mut members = redis::cmd("SMEMBERS");
    members.arg(keys.active_queues());
    // A key with this name that is no set belongs to another program.
    let queues: Vec<String> = match redis.query(members).await {
        Ok(queues) => queues,
        Err(Fault::Refused { .. } | Fault::NotPermitted { .. }) => return Ok(HashMap::new()),
        Err(fault) => return Err(fault),
    };
    let mut found = HashMap::new();
    for queue in queues {
        let mut range = redis::cmd("ZRANGE");
        range.arg(keys.active_tasks(&queue)).arg(0).arg(TASKS_MAX);
        let Ok(tasks) = redis.query::<Vec<String>>(range).await else {
            continue;
        };
        for chunk in tasks.chunks(500) {
            let mut get = redis::cmd("MGET");
            for task in chunk {
                get.arg(keys.task(task));
            }
            let values: Vec<Value> = redis.query(get).await?;
            for (task, value) in chunk.iter().zip(values) {
                let Value::BulkString(json) = value else {
                    continue;
                };
                if let Some((id, func)) = lock_of_task(&String::from_utf8_lossy(&json)) {
                    found.insert(
                        id,
                        Holder::Task { task: task.clone(), func, queue: queue.clone() },
                    );
                }
            }
        }
    }
    Ok(found)
}

/// The lock id and the function of a task that wants a lock.
fn lock_of_task(json: &str) -> Option<(String, String)> {
    let task = Json::parse(json).ok()?;
    if task.get("lock") != Some(&Json::Bool(true)) {
        return None;
    }
    let func = task.get("func")?.as_str()?;
    let kwargs = task.get("kwargs").cloned().unwrap_or(Json::Object(Vec::new()));
    let id = match task.get("lock_key") {
        Some(Json::List(names)) if !names.is_empty() => {
            keyed_lock_id(func, &kwargs, names.iter().filter_map(Json::as_str)).ok()?
        }
        _ => lock_id(func, task.get("args").unwrap_or(&Json::List(Vec::new())), &kwargs),
    };
    Some((id, func.to_owned()))
}
