//! A semaphore with a number of slots, as TaskTiger keeps one for each queue.

use std::time::Duration;

use tokio::time::Instant;

use crate::acquiring::{
    Acquirable, AcquireError, NotGranted, Refusal, Wait, acquire, bounded, try_once,
};
use crate::fault::Fault;
use crate::guard::{Guard, Held, Lost, Renewal};
use crate::keys::Keys;
use crate::redis_connection::Redis;
use crate::scripts::{SEMAPHORE_ACQUIRE, SEMAPHORE_SYSTEM_LOCK};

/// A semaphore on `PREFIX:qslock:QUEUE`. A holder that has a slot already is granted it again.
#[derive(Clone, Debug)]
pub struct Semaphore {
    redis: Redis,
    key: String,
    queue: String,
    holder: String,
    size: u64,
    ttl: Duration,
}

impl Semaphore {
    /// A semaphore with `size` slots and a ttl of 60 s. Each holder needs a name of its own.
    #[must_use]
    pub fn new(
        redis: &Redis,
        keys: &Keys,
        queue: &str,
        holder: impl Into<String>,
        size: u64,
    ) -> Self {
        Self {
            redis: redis.clone(),
            key: keys.semaphore(queue),
            queue: queue.to_owned(),
            holder: holder.into(),
            size,
            ttl: Duration::from_secs(60),
        }
    }

    /// How long a slot outlives its holder's last renewal, from 1 ms to
    /// [`LONGEST_TTL`](crate::LONGEST_TTL): a shorter or longer ttl becomes the nearest of these.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = bounded(ttl);
        self
    }

    /// Tries once. Returns the guard and how many holders there are now, or why Redis refused.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn try_acquire(&self) -> Result<Result<(Guard, u64), Refusal>, Fault> {
        match try_once(self, false).await {
            Ok(granted) => Ok(Ok(granted)),
            Err(NotGranted::Refused { refusal, .. }) => Ok(Err(refusal)),
            Err(NotGranted::Fault(fault)) => Err(fault),
        }
    }

    /// Acquires a slot. Dropped while it waits, it leaves nothing behind.
    ///
    /// # Errors
    /// When the time is over, or Redis cannot be asked.
    pub async fn acquire(&self, wait: Wait) -> Result<Guard, AcquireError> {
        acquire(self, wait).await.map(|(guard, _)| guard)
    }

    /// Sets the system lock: until `ttl` has passed, Redis refuses every acquire and every renewal.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn set_system_lock(
        redis: &Redis,
        keys: &Keys,
        queue: &str,
        ttl: Duration,
    ) -> Result<(), Fault> {
        let args = vec![ttl.as_secs_f64().to_string()];
        redis.run(&SEMAPHORE_SYSTEM_LOCK, vec![keys.semaphore(queue)], args).await
    }

    /// When the system lock ends, in Unix seconds; `None` without one.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn system_lock(
        redis: &Redis,
        keys: &Keys,
        queue: &str,
    ) -> Result<Option<f64>, Fault> {
        let mut score = redis::cmd("ZSCORE");
        score.arg(keys.semaphore(queue)).arg("SYSTEM_LOCK");
        redis.query(score).await
    }

    /// Returns how many holders there are, and until when the slot is ours at least.
    async fn ask(&self, verb: &str) -> Result<(u64, Instant), NotGranted> {
        let sent_at = Instant::now();
        let args = vec![
            self.holder.clone(),
            self.size.to_string(),
            self.ttl.as_secs_f64().to_string(),
            verb.to_owned(),
        ];
        let (granted, count, left): (bool, i64, i64) =
            self.redis.run(&SEMAPHORE_ACQUIRE, vec![self.key.clone()], args).await?;
        let left = u64::try_from(left).ok().map(Duration::from_millis);
        match u64::try_from(count) {
            Ok(count) if granted => Ok((count, sent_at + left.unwrap_or(self.ttl))),
            Ok(count) => Err(NotGranted::Refused { refusal: Refusal::Full { count }, left }),
            Err(_) if count == -1 => {
                Err(NotGranted::Refused { refusal: Refusal::SystemLock, left })
            }
            // A renewal whose slot is gone.
            Err(_) => Err(NotGranted::Refused { refusal: Refusal::Held, left: None }),
        }
    }
}

impl Acquirable for Semaphore {
    type Granted = (Guard, u64);

    fn redis(&self) -> &Redis {
        &self.redis
    }

    fn watched(&self) -> Vec<String> {
        vec![self.key.clone()]
    }

    fn describe(&self) -> String {
        format!("semaphore {:?}", self.queue)
    }

    async fn attempt(self, _again: bool) -> Result<(Guard, u64), NotGranted> {
        let (count, until) = self.ask("acquire").await?;
        let (ttl, slot) = (self.ttl, Slot { semaphore: self, until });
        match Guard::start(slot, Some(ttl), None) {
            Some(guard) => Ok((guard, count)),
            // The answer took longer than the slot lasts.
            None => Err(NotGranted::Refused { refusal: Refusal::Full { count }, left: None }),
        }
    }
}

/// A slot of a semaphore that is held.
struct Slot {
    semaphore: Semaphore,
    until: Instant,
}

impl Held for Slot {
    fn until(&self) -> Option<Instant> {
        Some(self.until)
    }

    /// Renews a slot that is still ours. TaskTiger's own renewal cannot tell it from a new one:
    /// D30.
    async fn renew(&mut self) -> Result<Renewal, Fault> {
        match self.semaphore.ask("renew").await {
            Ok((_, until)) => {
                self.until = until;
                Ok(Renewal::Kept)
            }
            Err(NotGranted::Refused { refusal: Refusal::SystemLock, .. }) => {
                Ok(Renewal::Lost(Lost::SystemLock))
            }
            Err(NotGranted::Refused { .. }) => Ok(Renewal::Lost(Lost::TakenAway)),
            Err(NotGranted::Fault(fault)) => Err(fault),
        }
    }

    async fn woken(&mut self) {
        std::future::pending::<()>().await;
    }

    async fn release(&mut self) -> Result<bool, Fault> {
        let mut remove = redis::cmd("ZREM");
        remove.arg(&self.semaphore.key).arg(&self.semaphore.holder);
        self.semaphore.redis.query(remove).await
    }
}
