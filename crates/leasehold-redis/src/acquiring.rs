//! The loop of attempts that locks and semaphores share: try, wait, try again.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Fault;
use crate::redis_connection::Redis;
use crate::waiting::Waiting;

/// The longest ttl of a lock or of a slot of a semaphore. An old lock that expires after January
/// 2038 never expires.
pub const LONGEST_TTL: Duration = Duration::from_secs(365 * 86_400);
/// The shortest ttl that Redis can keep.
const SHORTEST_TTL: Duration = Duration::from_millis(1);

/// The nearest ttl that a lock can have.
pub(crate) fn bounded(ttl: Duration) -> Duration {
    ttl.clamp(SHORTEST_TTL, LONGEST_TTL)
}

/// How long to wait for something that others hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Try once.
    No,
    /// Try until this much time has passed.
    AtMost(Duration),
    /// Try until it is granted.
    Forever,
}

/// Why Redis granted nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Another holder has the lock.
    Held,
    /// All slots of the semaphore are taken: this many.
    Full {
        /// How many holders there are.
        count: u64,
    },
    /// A system lock on the semaphore stops every acquire and every renewal.
    SystemLock,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("another holder has it"),
            Self::Full { count } => write!(f, "all {count} slots are taken"),
            Self::SystemLock => f.write_str("a system lock is set"),
        }
    }
}

/// Why a lock or a slot was not acquired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Redis refused each attempt until the time was over.
    #[error("{what} was not granted within {:.1} s: {refusal}", waited.as_secs_f64())]
    NotInTime {
        /// The lock or the semaphore, with its name.
        what: String,
        /// How long the caller waited.
        waited: Duration,
        /// Why the last attempt was refused.
        refusal: Refusal,
    },
    /// Redis did not answer, or answered with an error.
    #[error("failed to acquire {what}: {fault}")]
    Fault {
        /// The lock or the semaphore, with its name.
        what: String,
        /// What went wrong.
        fault: Fault,
    },
}

/// Why one attempt granted nothing.
#[derive(Debug)]
pub(crate) enum NotGranted {
    /// `left` is how long the holder in the way keeps it unless it renews.
    Refused {
        refusal: Refusal,
        left: Option<Duration>,
    },
    Fault(Fault),
}

impl From<Fault> for NotGranted {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Something on Redis that one caller can acquire.
pub(crate) trait Acquirable: Clone + Send + 'static {
    type Granted: Send + 'static;

    fn redis(&self) -> &Redis;

    /// The keys that change when an attempt can succeed.
    fn watched(&self) -> Vec<String>;

    /// What it is, for messages.
    fn describe(&self) -> String;

    /// Tries once. `again` says that this caller has waited before.
    fn attempt(
        self,
        again: bool,
    ) -> impl Future<Output = Result<Self::Granted, NotGranted>> + Send + 'static;
}

/// Tries once. The attempt runs to its end if its caller is dropped: what Redis grants to a dropped
/// caller is released.
pub(crate) async fn try_once<A: Acquirable>(
    target: &A,
    again: bool,
) -> Result<A::Granted, NotGranted> {
    let attempt = tokio::spawn(target.clone().attempt(again));
    attempt.await.unwrap_or_else(|error| Err(Fault::unexpected(error.to_string()).into()))
}

/// Tries until Redis grants it, the time is over, or trying again cannot help.
pub(crate) async fn acquire<A: Acquirable>(
    target: &A,
    wait: Wait,
) -> Result<A::Granted, AcquireError> {
    let started = Instant::now();
    let deadline = match wait {
        Wait::No => Some(started),
        Wait::AtMost(wait) => started.checked_add(wait),
        Wait::Forever => None,
    };
    let mut waiting: Option<Waiting> = None;
    loop {
        let outcome = try_once(target, waiting.is_some()).await;
        let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let left = match outcome {
            Ok(granted) => return Ok(granted),
            Err(NotGranted::Refused { refusal, .. }) if is_over => {
                let waited = started.elapsed();
                return Err(AcquireError::NotInTime { what: target.describe(), waited, refusal });
            }
            Err(NotGranted::Refused { left, .. }) => left,
            Err(NotGranted::Fault(fault)) if is_over || !fault.is_passing() => {
                return Err(AcquireError::Fault { what: target.describe(), fault });
            }
            Err(NotGranted::Fault(fault)) => {
                tracing::debug!(%fault, "an attempt failed, trying again");
                None
            }
        };
        let waiting = match &mut waiting {
            Some(waiting) => waiting,
            None => waiting.insert(Waiting::start(target.redis(), target.watched()).await),
        };
        waiting.pause(left, deadline).await;
    }
}
