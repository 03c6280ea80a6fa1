//! A semaphore: so many holders at a time, as TaskTiger keeps for its queues.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::guard::{Guard, Held, Lost, Renewal};
use crate::holding::default_notice;
use crate::keys::Keys;
use crate::lock::Wait;
use crate::redis_connection::Redis;
use crate::scripts::{SEMAPHORE_ACQUIRE, SEMAPHORE_SYSTEM_LOCK};
use crate::waiting::Waiting;

/// Why a semaphore had no place for us.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// All places are taken: this many.
    Full {
        /// How many hold it.
        count: u64,
    },
    /// A system lock keeps everybody out.
    SystemLock,
}

/// Why no place was acquired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SemaphoreError {
    /// There was none for all the time.
    #[error("semaphore {queue:?} had no place: {refusal:?}")]
    NotInTime {
        /// The name of the queue.
        queue: String,
        /// The last refusal.
        refusal: Refusal,
    },
    /// Redis did not answer, or refused.
    #[error("failed to acquire semaphore {queue:?}: {fault}")]
    Fault {
        /// The name of the queue.
        queue: String,
        /// What went wrong.
        fault: Fault,
    },
}

/// A semaphore on `PREFIX:qslock:QUEUE`. A holder that is in already is let in again under its own
/// name.
#[derive(Clone, Debug)]
pub struct Semaphore {
    place: Place,
}

#[derive(Clone, Debug)]
struct Place {
    redis: Redis,
    key: String,
    queue: String,
    holder: String,
    size: u64,
    ttl: Duration,
}

enum Answer {
    Yes { count: u64, left: Duration },
    No { refusal: Refusal, left: Option<Duration> },
    Gone,
}

impl Semaphore {
    /// A semaphore with `size` places and a ttl of 60 s. `holder` has to be unique among all that
    /// want a place.
    #[must_use]
    pub fn new(
        redis: &Redis,
        keys: &Keys,
        queue: &str,
        holder: impl Into<String>,
        size: u64,
    ) -> Self {
        let key = keys.semaphore(queue);
        let ttl = Duration::from_secs(60);
        Self {
            place: Place {
                redis: redis.clone(),
                key,
                queue: queue.to_owned(),
                holder: holder.into(),
                size,
                ttl,
            },
        }
    }

    /// How long a place outlives its holder's last renewal.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.place.ttl = ttl.max(Duration::from_millis(1));
        self
    }

    /// Tries once. Answers the guard and how many hold it now, or why there was no place.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn try_acquire(&self) -> Result<Result<(Guard, u64), Refusal>, Fault> {
        let place = self.place.clone();
        let attempt = tokio::spawn(async move { place.attempt().await });
        let (answer, _) =
            attempt.await.unwrap_or_else(|error| Err(Fault::unexpected(error.to_string())))?;
        Ok(answer)
    }

    /// Acquires a place. Dropped while it waits, it leaves nothing behind.
    ///
    /// # Errors
    /// When the time is over, or Redis cannot be asked.
    pub async fn acquire(&self, wait: Wait) -> Result<Guard, SemaphoreError> {
        let deadline = match wait {
            Wait::No => Some(Instant::now()),
            Wait::AtMost(wait) => Instant::now().checked_add(wait),
            Wait::Forever => None,
        };
        let queue = &self.place.queue;
        let mut waiting: Option<Waiting> = None;
        loop {
            let place = self.place.clone();
            let attempt = tokio::spawn(async move { place.attempt().await });
            let outcome =
                attempt.await.unwrap_or_else(|error| Err(Fault::unexpected(error.to_string())));
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let left = match outcome {
                Ok((Ok((guard, _)), _)) => return Ok(guard),
                Ok((Err(refusal), _)) if is_over => {
                    return Err(SemaphoreError::NotInTime { queue: queue.clone(), refusal });
                }
                Ok((Err(_), left)) => left,
                Err(fault) if is_over || !fault.is_passing() => {
                    return Err(SemaphoreError::Fault { queue: queue.clone(), fault });
                }
                Err(_) => None,
            };
            let waiting = match &mut waiting {
                Some(waiting) => waiting,
                None => waiting
                    .insert(Waiting::start(&self.place.redis, vec![self.place.key.clone()]).await),
            };
            waiting.pause(left, deadline).await;
        }
    }

    /// Sets the system lock: nobody acquires or renews until `ttl` has passed.
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
        redis.run(&SEMAPHORE_SYSTEM_LOCK, vec![keys.semaphore(queue)], args).await?;
        Ok(())
    }

    /// When the system lock ends, in Unix seconds; `None` where there is none.
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
}

type AttemptOutcome = (Result<(Guard, u64), Refusal>, Option<Duration>);

impl Place {
    async fn attempt(self) -> Result<AttemptOutcome, Fault> {
        let sent_at = Instant::now();
        match self.ask("acquire").await? {
            Answer::Yes { count, left } => {
                let ttl = self.ttl;
                let member = Member { place: self, until: sent_at + left };
                Ok((Ok((Guard::start(member, Some(ttl), default_notice(Some(ttl))), count)), None))
            }
            Answer::No { refusal, left } => Ok((Err(refusal), left)),
            Answer::Gone => Err(Fault::unexpected("an acquire cannot find its place gone")),
        }
    }

    async fn ask(&self, verb: &str) -> Result<Answer, Fault> {
        let args = vec![
            self.holder.clone(),
            self.size.to_string(),
            self.ttl.as_secs_f64().to_string(),
            verb.to_owned(),
        ];
        let answer = self.redis.run(&SEMAPHORE_ACQUIRE, vec![self.key.clone()], args).await?;
        let Value::Array(fields) = &answer else {
            return Err(Fault::unexpected(format!("{answer:?}")));
        };
        let [Value::Int(acquired), Value::Int(count), Value::Int(left)] = fields.as_slice() else {
            return Err(Fault::unexpected(format!("{answer:?}")));
        };
        let left = u64::try_from(*left).ok().map(Duration::from_millis);
        Ok(match (acquired, u64::try_from(*count)) {
            (1, Ok(count)) => Answer::Yes { count, left: left.unwrap_or(self.ttl) },
            (_, Ok(count)) => Answer::No { refusal: Refusal::Full { count }, left },
            (_, Err(_)) if *count == -1 => Answer::No { refusal: Refusal::SystemLock, left },
            _ => Answer::Gone,
        })
    }
}

/// A place in a semaphore, held.
struct Member {
    place: Place,
    until: Instant,
}

impl Held for Member {
    fn until(&self) -> Option<Instant> {
        Some(self.until)
    }

    /// Only renews a place that is still ours, which TaskTiger's own cannot tell from a new one:
    /// D30.
    async fn renew(&mut self) -> Result<Renewal, Fault> {
        let sent_at = Instant::now();
        match self.place.ask("renew").await? {
            Answer::Yes { left, .. } => {
                self.until = sent_at + left;
                Ok(Renewal::Kept)
            }
            Answer::No { refusal: Refusal::SystemLock, .. } => Ok(Renewal::Lost(Lost::SystemLock)),
            Answer::No { .. } | Answer::Gone => Ok(Renewal::Lost(Lost::TakenAway)),
        }
    }

    async fn woken(&mut self) {
        std::future::pending::<()>().await;
    }

    async fn release(&mut self) -> Result<bool, Fault> {
        let mut remove = redis::cmd("ZREM");
        remove.arg(&self.place.key).arg(&self.place.holder);
        let removed: u64 = self.place.redis.query(remove).await?;
        Ok(removed == 1)
    }
}
