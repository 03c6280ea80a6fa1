//! A lock, with the mechanism that the caller names or the one that the fleet's phase asks for.

use std::time::Duration;

use crate::acquiring::{Acquirable, AcquireError, NotGranted, Refusal, Wait, acquire, bounded};
use crate::fault::Fault;
use crate::follower::Follower;
use crate::guard::{Guard, Held};
use crate::half::{ANY_PHASE, Allowed, Kind, LockSpec, Obstacle, fresh_token};
use crate::holding::Holding;
use crate::keys::Keys;
use crate::phase::{Mechanism, Phase};
use crate::redis_connection::Redis;

/// After the phase has moved so often under one attempt, the attempt ends as refused.
const MOVES_IN_A_ROW: u32 = 5;

/// A lock on Redis. Cheap to make; it sends nothing before it is acquired.
#[derive(Clone, Debug)]
pub struct Lock {
    spec: LockSpec,
    policy: Policy,
    notice: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Policy {
    Fixed(Mechanism),
    Follow(Follower),
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
        let spec = LockSpec { redis, keys, id, ttl: Some(Duration::from_secs(60)) };
        Self { spec, policy, notice: None }
    }

    /// Other keys than those under `t`.
    #[must_use]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.spec.keys = keys;
        self
    }

    /// How long the lock outlives its holder's last renewal, from 1 ms to
    /// [`LONGEST_TTL`](crate::LONGEST_TTL): a shorter or longer ttl becomes the nearest of these.
    /// Peers call it the timeout.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.spec.ttl = Some(bounded(ttl));
        self
    }

    /// A lock that lasts until it is released, also if its holder crashes.
    #[must_use]
    pub fn without_ttl(mut self) -> Self {
        self.spec.ttl = None;
        self
    }

    /// How long before another holder can take the lock the guard reports it as lost. The default
    /// is a tenth of the ttl, and a second at most. It is never more than half of the ttl.
    #[must_use]
    pub fn notice(mut self, notice: Duration) -> Self {
        self.notice = Some(notice);
        self
    }

    /// Tries once.
    ///
    /// # Errors
    /// When Redis cannot be asked. A lock that another holder has is `None`.
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
    /// When the time is over, or Redis cannot be asked.
    pub async fn acquire(&self, wait: Wait) -> Result<Guard, AcquireError> {
        acquire(self, wait).await
    }

    /// Reads the phase anew, after a script said that it is this one by now.
    async fn follow(&self, phase: String) -> Result<(), Fault> {
        if phase.parse::<Phase>().is_err() {
            return Err(Fault::PhaseUnknown { key: self.spec.keys.phase(), found: phase });
        }
        match &self.policy {
            Policy::Follow(follower) => follower.look().await,
            Policy::Fixed(_) => Ok(()),
        }
    }

    /// Takes the halves that the mechanism has: the token half, then the old one.
    async fn take(&self, again: bool) -> Result<Guard, Obstacle> {
        let (mechanism, entry) = match &self.policy {
            Policy::Fixed(mechanism) => (*mechanism, None),
            Policy::Follow(follower) => {
                let entry = follower.begin_attempt();
                (entry.phase(), Some(entry))
            }
        };
        let allowed = if entry.is_some() { only(mechanism) } else { ANY_PHASE };
        if again && mechanism == Mechanism::Dual {
            // A waiter does not take the token lock each time only to give it back: each of these
            // changes would wake all other waiters.
            self.spec.expect_no_old_lock().await?;
        }
        let mut holding = Holding::new(self.spec.clone(), fresh_token(), entry);
        if mechanism.has_token_half() {
            match self.spec.take(Kind::Token, &holding.token, allowed).await {
                Ok(half) => holding.token_half = Some(half),
                Err(obstacle) => {
                    if let Obstacle::Fault(_) = obstacle {
                        self.release_unanswered(holding.token);
                    }
                    return Err(obstacle);
                }
            }
        }
        if mechanism.has_old_half() {
            match self.spec.take(Kind::Old, &holding.token, allowed).await {
                Ok(half) => holding.old_half = Some(half),
                Err(obstacle) => {
                    // If this fails, the token half expires by itself.
                    let _ = holding.release().await;
                    return Err(obstacle);
                }
            }
        }
        holding.report();
        // If the answer took longer than the lock lasts, another holder may have it.
        Guard::start(holding, self.spec.ttl, self.notice).ok_or(Obstacle::Held { left: None })
    }

    /// Redis may have granted the request whose answer was lost.
    fn release_unanswered(&self, token: String) {
        let spec = self.spec.clone();
        tokio::spawn(async move {
            // If this fails, the token half expires by itself.
            let _ = spec.give_back(Kind::Token, &token).await;
        });
    }
}

impl Acquirable for Lock {
    type Granted = Guard;

    fn redis(&self) -> &Redis {
        &self.spec.redis
    }

    fn watched(&self) -> Vec<String> {
        [Kind::Old, Kind::Token].map(|kind| self.spec.key(kind)).to_vec()
    }

    fn describe(&self) -> String {
        format!("lock {:?}", self.spec.id)
    }

    async fn attempt(self, again: bool) -> Result<Guard, NotGranted> {
        let mut held_for = None;
        for _ in 0..=MOVES_IN_A_ROW {
            match self.take(again).await {
                Ok(guard) => return Ok(guard),
                Err(Obstacle::Held { left }) => {
                    held_for = left;
                    break;
                }
                Err(Obstacle::PhaseMoved(phase)) => match self.follow(phase).await {
                    // The next round is refused again, and the caller waits.
                    Err(fault) if fault.is_passing() => {
                        tracing::debug!(%fault, "the phase could not be read");
                    }
                    followed => followed?,
                },
                Err(Obstacle::Fault(fault)) => return Err(fault.into()),
            }
        }
        // A phase that keeps moving, or cannot be read, is waited for like a lock.
        Err(NotGranted::Refused { refusal: Refusal::Held, left: held_for })
    }
}

fn only(phase: Phase) -> Allowed {
    match phase {
        Phase::Old => &[Phase::Old],
        Phase::Dual => &[Phase::Dual],
        Phase::Token => &[Phase::Token],
    }
}
