//! Locks and semaphores on Redis as task queues have them, and a safe way from one mechanism to the
//! next.
//!
//! Three mechanisms: the **old** lock (TaskTiger up to 0.12), the **token** lock (redis-py,
//! TaskTiger from 0.13), and **dual**, which holds both and stands between them. They are spoken so
//! exactly that a peer in another process sees no difference, except that ours never renews or
//! deletes what is not its own, and trusts the clock of Redis instead of the caller's.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use leasehold_redis::{Lock, Mechanism, Redis, Wait};
//! use std::time::Duration;
//!
//! let redis = Redis::connect(&"redis://127.0.0.1/".parse()?).await?;
//! let lock = Lock::new(&redis, "nightly-report", Mechanism::Token).ttl(Duration::from_secs(60));
//! let guard = lock.acquire(Wait::AtMost(Duration::from_secs(600))).await?;
//! tokio::select! {
//!     () = work() => guard.release().await?,
//!     loss = guard.lost() => eprintln!("stopping: {loss}"),
//! }
//! # Ok(())
//! # }
//! # async fn work() {}
//! ```
//!
//! What this crate refuses to know: the server, its limits and its journal. The promise is bounded:
//! a holder that is paused for longer than its lock's time can outlive it, as on every lock with a
//! timeout, and Redis's replication can lose a lock in a failover.

mod acquiring;
mod address;
mod census;
mod cleanup;
mod direct;
mod expiry;
mod fault;
mod fleet;
mod follower;
mod guard;
mod half;
mod holders;
mod holding;
mod keys;
mod lock;
mod lock_entry;
mod lock_id;
mod moment;
mod observation;
mod phase;
mod redis_connection;
mod report;
mod scan;
mod scan_log;
mod scripts;
mod semaphore;
mod sentinels;
#[cfg(test)]
mod simulation;
mod transport;
mod undo;
mod waiting;
mod walk;

pub use acquiring::{AcquireError, LONGEST_TTL, Refusal, Wait};
pub use address::{Address, AddressError};
pub use census::{Census, OldLockState, SemaphoreEntry, SemaphoreMember};
pub use cleanup::{CleanupOptions, CleanupReport, cleanup};
pub use expiry::{LOCK_FOREVER, OldExpiry};
pub use fault::Fault;
pub use fleet::{Fleet, MoveError, MoveRule, Process};
pub use follower::{Follower, FollowerOptions};
pub use guard::{Guard, Lost, ReleaseError};
pub use holders::Holder;
pub use keys::Keys;
pub use lock::Lock;
pub use lock_entry::LockEntry;
pub use lock_id::{LockIdError, keyed_lock_id, lock_id};
pub use moment::rfc3339;
pub use observation::{Observation, Verdict};
pub use phase::{Mechanism, Phase, PhaseState, UnknownName};
pub use redis_connection::Redis;
pub use scan::{ScanOptions, ScanProgress, ScanSummary, TypeTotal, scan};
pub use scan_log::{ScanError, ScanLine, ScanLineError};
pub use semaphore::Semaphore;
pub use undo::{UndoReport, undo};
pub use walk::Pace;
