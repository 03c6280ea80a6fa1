//! Redis: a semaphore in a Lua script, and the lock of redis-py.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use nix::sys::signal::Signal;
use redis::Script;
use redis::aio::MultiplexedConnection;

use super::accepts;
use crate::process::{self, Process};

/// KEYS: semaphore. ARGV: holder, slots, ms that it may hold.
const ACQUIRE: &str = "\
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
return 1";

/// KEYS: lock. ARGV: token. The same as redis-py's `Lock.LUA_RELEASE_SCRIPT`.
const RELEASE_LOCK: &str = "\
local token = redis.call('get', KEYS[1])
if not token or token ~= ARGV[1] then
    return 0
end
redis.call('del', KEYS[1])
return 1";

const TTL_MS: u64 = 300_000;

/// What Redis makes durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    None,
    /// `appendfsync always`: the log is synced before the answer.
    EveryWrite,
}

pub(super) async fn start(
    folder: &Path,
    port: u16,
    persistence: Persistence,
) -> anyhow::Result<Process> {
    let mut command = Command::new(process::find("redis-server", "redis-server")?);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.arg("--dir").arg(folder);
    if persistence == Persistence::EveryWrite {
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    let mut process = Process::start(command, folder, Signal::SIGKILL)?;
    accepts(&mut process, port).await?;
    Ok(process)
}

async fn connect(port: u16) -> anyhow::Result<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    Ok(client.get_multiplexed_async_connection().await?)
}

/// A holder of a slot of the one semaphore.
pub(crate) struct Semaphore {
    connection: MultiplexedConnection,
    acquire: Script,
    holder: usize,
    slots: u64,
}

impl Semaphore {
    pub(super) async fn connect(port: u16, holder: usize) -> anyhow::Result<Self> {
        let connection = connect(port).await?;
        Ok(Self { connection, acquire: Script::new(ACQUIRE), holder, slots: super::own::SLOTS })
    }

    pub(super) async fn acquire(&mut self) -> anyhow::Result<()> {
        let granted: u8 = self
            .acquire
            .key("semaphore")
            .arg(self.holder)
            .arg(self.slots)
            .arg(TTL_MS)
            .invoke_async(&mut self.connection)
            .await?;
        ensure!(granted == 1, "the semaphore is full");
        Ok(())
    }

    pub(super) async fn release(&mut self) -> anyhow::Result<()> {
        let removed: u64 = redis::cmd("ZREM")
            .arg("semaphore")
            .arg(self.holder)
            .query_async(&mut self.connection)
            .await?;
        ensure!(removed == 1, "the slot was not held");
        Ok(())
    }
}

/// A holder of a lock of its own.
pub(crate) struct Lock {
    connection: MultiplexedConnection,
    release: Script,
    key: String,
    token: String,
}

impl Lock {
    pub(super) async fn connect(port: u16, index: usize) -> anyhow::Result<Self> {
        let connection = connect(port).await?;
        let (key, token) = (format!("lock-{index}"), format!("{index:032x}"));
        Ok(Self { connection, release: Script::new(RELEASE_LOCK), key, token })
    }

    pub(super) async fn acquire(&mut self) -> anyhow::Result<()> {
        let taken: Option<String> = redis::cmd("SET")
            .arg(&self.key)
            .arg(&self.token)
            .arg("NX")
            .arg("PX")
            .arg(TTL_MS)
            .query_async(&mut self.connection)
            .await?;
        ensure!(taken.is_some(), "the lock is held");
        Ok(())
    }

    pub(super) async fn release(&mut self) -> anyhow::Result<()> {
        let released: u8 =
            self.release.key(&self.key).arg(&self.token).invoke_async(&mut self.connection).await?;
        ensure!(released == 1, "the lock was not held");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_semaphore_and_a_held_lock_refuse() {
        let folder = tempfile::tempdir().unwrap();
        let port = process::free_port().unwrap();
        let _process = start(folder.path(), port, Persistence::EveryWrite).await.unwrap();

        let mut first = Semaphore::connect(port, 1).await.unwrap();
        let mut second = Semaphore::connect(port, 2).await.unwrap();
        second.slots = 1;
        first.acquire().await.unwrap();
        assert_eq!(second.acquire().await.unwrap_err().to_string(), "the semaphore is full");
        first.release().await.unwrap();
        second.acquire().await.unwrap();

        let mut lock = Lock::connect(port, 1).await.unwrap();
        lock.acquire().await.unwrap();
        assert_eq!(lock.acquire().await.unwrap_err().to_string(), "the lock is held");
        lock.release().await.unwrap();
        assert_eq!(lock.release().await.unwrap_err().to_string(), "the lock was not held");
    }
}
