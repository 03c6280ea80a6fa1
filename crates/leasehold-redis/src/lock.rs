//! Acquiring a lock, with the mechanism that the caller names or the one that the fleet's phase
//! asks for.

use std::time::Duration;

use tokio::time::Instant;

use crate::fault::Fault;
use crate::follower::{Entry, Follower};
use crate::guard::Guard;
use crate::half::{ANY_PHASE, Allowed, Half, Kind, Spot, Taken};
use crate::holding::{Holding, default_notice};
use crate::keys::Keys;
use crate::phase::{Mechanism, Phase};
use crate::redis_connection::Redis;
use crate::waiting::Waiting;

/// So often the phase may have moved under an attempt before the next one waits.
const MOVES_IN_A_ROW: u32 = 5;

/// How long to wait for a lock that somebody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Try once.
    No,
    /// Try until this much time has passed.
    AtMost(Duration),
    /// Try until it is ours.
    Forever,
}

impl Wait {
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::No => Some(Instant::now()),
            Self::AtMost(wait) => Instant::now().checked_add(wait),
            Self::Forever => None,
        }
    }
}

/// Why a lock was not acquired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Somebody else had it all the time.
    #[error("lock {id:?} is held by somebody else; waited {:.1} s", waited.as_secs_f64())]
    NotInTime {
        /// The lock's id.
        id: String,
        /// How long we tried.
        waited: Duration,
    },
    /// Redis did not answer, or refused.
    #[error("failed to acquire lock {id:?}: {fault}")]
    Fault {
        /// The lock's id.
        id: String,
        /// What went wrong.
        fault: Fault,
    },
    /// The phase key holds something that is no phase.
    #[error(
        "the phase key {key} holds no phase that this version knows; see `leasehold locks status`"
    )]
    PhaseUnknown {
        /// The name of the phase key.
        key: String,
    },
}

/// A lock on Redis. Cheap to make; nothing happens before it is acquired.
#[derive(Clone, Debug)]
pub struct Lock {
    spot: Spot,
    policy: Policy,
    notice: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Policy {
    Fixed(Mechanism),
    Follow(Follower),
}

enum Attempt {
    Held(Guard),
    Busy { left: Option<Duration> },
    PhaseMoved(String),
}

impl Lock {
    /// A lock with prefix `t`, a ttl of 60 s, and always the same mechanism.
    #[must_use]
    pub fn new(redis: &Redis, id: impl Into<String>, mechanism: Mechanism) -> Self {
        Self::with_policy(redis.clone(), Keys::default(), id.into(), Policy::Fixed(mechanism))
    }

    /// A lock with the mechanism of the phase that `follower` sees, and its prefix.
    #[must_use]
    pub fn following(follower: &Follower, id: impl Into<String>) -> Self {
        let policy = Policy::Follow(follower.clone());
        Self::with_policy(follower.redis().clone(), follower.keys().clone(), id.into(), policy)
    }

    fn with_policy(redis: Redis, keys: Keys, id: String, policy: Policy) -> Self {
        let spot = Spot { redis, keys, id, ttl: Some(Duration::from_secs(60)) };
        Self { spot, policy, notice: None }
    }

    /// Other keys than those under `t`.
    #[must_use]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.spot.keys = keys;
        self
    }

    /// How long the lock outlives its holder's last renewal. Peers call it the timeout.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.spot.ttl = Some(ttl.max(Duration::from_millis(1)));
        self
    }

    /// A lock that lasts until it is released, whatever becomes of its holder.
    #[must_use]
    pub fn without_ttl(mut self) -> Self {
        self.spot.ttl = None;
        self
    }

    /// How long before anyone else can have the lock its holder is told that it is lost. A tenth of
    /// the ttl by default, a second at most; never more than half of the ttl.
    #[must_use]
    pub fn notice(mut self, notice: Duration) -> Self {
        self.notice = Some(notice);
        self
    }

    /// Tries once.
    ///
    /// # Errors
    /// When Redis cannot be asked. A lock that somebody else has is `None`.
    pub async fn try_acquire(&self) -> Result<Option<Guard>, AcquireError> {
        match self.acquire(Wait::No).await {
            Ok(guard) => Ok(Some(guard)),
            Err(AcquireError::NotInTime { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Acquires the lock. Dropped while it waits, it leaves nothing behind: D08.
    ///
    /// # Errors
    /// When the time is over, or Redis cannot be asked for all of it.
    pub async fn acquire(&self, wait: Wait) -> Result<Guard, AcquireError> {
        let started = Instant::now();
        let deadline = wait.deadline();
        let mut waiting: Option<Waiting> = None;
        let mut moves = 0;
        loop {
            let outcome = self.attempt_to_the_end(waiting.is_some()).await;
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let left = match outcome {
                Ok(Attempt::Held(guard)) => return Ok(guard),
                // A phase that moves on and on, or cannot be read, is waited for like a lock.
                Ok(Attempt::PhaseMoved(phase)) if moves < MOVES_IN_A_ROW => {
                    self.follow(&phase).await?;
                    moves += 1;
                    continue;
                }
                Ok(Attempt::Busy { .. } | Attempt::PhaseMoved(_)) if is_over => {
                    return Err(AcquireError::NotInTime {
                        id: self.spot.id.clone(),
                        waited: started.elapsed(),
                    });
                }
                Ok(Attempt::Busy { left }) => left,
                Ok(Attempt::PhaseMoved(_)) => None,
                Err(fault) if is_over || !fault.is_passing() => return Err(self.failed(fault)),
                Err(fault) => {
                    tracing::debug!(%fault, "an attempt failed, trying again");
                    None
                }
            };
            moves = 0;
            let waiting = match &mut waiting {
                Some(waiting) => waiting,
                None => waiting.insert(Waiting::start(&self.spot.redis, self.watched()).await),
            };
            waiting.pause(left, deadline).await;
        }
    }

    fn failed(&self, fault: Fault) -> AcquireError {
        AcquireError::Fault { id: self.spot.id.clone(), fault }
    }

    fn watched(&self) -> Vec<String> {
        [Kind::Old, Kind::Token].map(|kind| self.spot.key(kind)).to_vec()
    }

    async fn follow(&self, phase: &str) -> Result<(), AcquireError> {
        if phase.parse::<Phase>().is_err() {
            return Err(AcquireError::PhaseUnknown { key: self.spot.keys.phase() });
        }
        if let Policy::Follow(follower) = &self.policy {
            match follower.look().await {
                // The next attempt is refused again, and waits.
                Err(fault) if fault.is_passing() => {
                    tracing::debug!(%fault, "the phase could not be read");
                }
                looked => looked.map_err(|fault| self.failed(fault))?,
            }
        }
        Ok(())
    }

    /// An attempt goes to its end even when its caller goes away, so that what it was granted is
    /// given back.
    async fn attempt_to_the_end(&self, again: bool) -> Result<Attempt, Fault> {
        let lock = self.clone();
        let attempt = tokio::spawn(async move { lock.attempt(fresh_token(), again).await });
        attempt.await.unwrap_or_else(|error| Err(Fault::unexpected(error.to_string())))
    }

    async fn attempt(&self, token: String, again: bool) -> Result<Attempt, Fault> {
        let (mechanism, entry) = match &self.policy {
            Policy::Fixed(mechanism) => (*mechanism, None),
            Policy::Follow(follower) => {
                let entry = follower.begin_attempt();
                (entry.phase(), Some(entry))
            }
        };
        let allowed = if entry.is_some() { just(mechanism) } else { ANY_PHASE };
        if again && mechanism == Mechanism::Dual {
            // Whoever waits does not take the token lock again and again only to give it back: that
            // would wake all others.
            if let Some(left) = self.spot.old_lock_in_the_way().await? {
                return Ok(Attempt::Busy { left });
            }
        }
        let token_half = if mechanism.has_token_half() {
            match self.spot.take(Kind::Token, &token, allowed).await {
                Ok(Taken::Yes(half)) => Some(half),
                Ok(other) => return Ok(refused(other)),
                Err(fault) => {
                    self.undo_token(&token);
                    return Err(fault);
                }
            }
        } else {
            None
        };
        let old_half = if mechanism.has_old_half() {
            match self.spot.take(Kind::Old, &token, allowed).await {
                Ok(Taken::Yes(half)) => Some(half),
                outcome => {
                    if token_half.is_some() {
                        // Whether this succeeds or not, the token lock runs out by itself.
                        let _ = self.spot.give_back(Kind::Token, &token).await;
                    }
                    return outcome.map(refused);
                }
            }
        } else {
            None
        };
        Ok(self.held(token, old_half, token_half, entry))
    }

    fn held(
        &self,
        token: String,
        old_half: Option<Half>,
        token_half: Option<Half>,
        entry: Option<Entry>,
    ) -> Attempt {
        if let Some(entry) = &entry {
            let mechanism = match (&old_half, &token_half) {
                (Some(_), Some(_)) => Mechanism::Dual,
                (Some(_), None) => Mechanism::Old,
                (None, _) => Mechanism::Token,
            };
            entry.holds(&self.spot.id, mechanism);
        }
        let ttl = self.spot.ttl;
        let notice =
            self.notice.unwrap_or(default_notice(ttl)).min(ttl.unwrap_or(Duration::ZERO) / 2);
        let holding = Holding { spot: self.spot.clone(), token, old_half, token_half, entry };
        let guard = Guard::start(holding, ttl, notice);
        if guard.is_held() {
            return Attempt::Held(guard);
        }
        // The answer took longer than the lock lasts; the guard gives back what is left of it.
        Attempt::Busy { left: None }
    }

    /// The request may have been executed and its answer lost.
    fn undo_token(&self, token: &str) {
        let (spot, token) = (self.spot.clone(), token.to_owned());
        tokio::spawn(async move {
            // Best effort: what cannot be given back runs out by itself.
            let _ = spot.give_back(Kind::Token, &token).await;
        });
    }
}

/// Each attempt has its own: a release of an earlier one that arrives late must not touch a later
/// one.
pub(crate) fn fresh_token() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn just(phase: Phase) -> Allowed {
    match phase {
        Phase::Old => &[Phase::Old],
        Phase::Dual => &[Phase::Dual],
        Phase::Token => &[Phase::Token],
    }
}

fn refused(taken: Taken) -> Attempt {
    match taken {
        Taken::Busy { left } => Attempt::Busy { left },
        Taken::PhaseMoved(phase) => Attempt::PhaseMoved(phase),
        Taken::Yes(_) => Attempt::Busy { left: None },
    }
}
