//! One key of a lock: the old half or the token half. A lock holds one of them, or both.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use crate::expiry::OldExpiry;
use crate::fault::Fault;
use crate::keys::Keys;
use crate::phase::Phase;
use crate::redis_connection::Redis;
use crate::scripts::{OLD_ACQUIRE, OLD_RENEW, RELEASE, Step, TOKEN_ACQUIRE, TOKEN_RENEW};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Old,
    Token,
}

/// The phases in which Redis may do a step; empty for a lock that does not follow the phase.
pub(crate) type Allowed = &'static [Phase];

pub(crate) const ANY_PHASE: Allowed = &[];

/// A half that we hold: what we wrote into its key, and until when it is ours at least.
#[derive(Clone, Debug)]
pub(crate) struct Half {
    pub(crate) kind: Kind,
    pub(crate) value: String,
    /// Measured from before the request was sent: never later than Redis's own expiry. `None`
    /// without a ttl.
    pub(crate) until: Option<Instant>,
}

/// Why Redis did not grant or renew a half.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// Another holder has it; it expires after `left` unless that holder renews it.
    Held {
        left: Option<Duration>,
    },
    /// The fleet is in this phase.
    PhaseMoved(String),
    Fault(Fault),
}

impl From<Fault> for Obstacle {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Which lock it is, and its ttl.
#[derive(Clone, Debug)]
pub(crate) struct LockSpec {
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
    pub(crate) id: String,
    pub(crate) ttl: Option<Duration>,
}

impl LockSpec {
    pub(crate) fn key(&self, kind: Kind) -> String {
        match kind {
            Kind::Old => self.keys.old_lock(&self.id),
            Kind::Token => self.keys.token_lock(&self.id),
        }
    }

    fn ttl_arg(&self, kind: Kind) -> String {
        match (kind, self.ttl) {
            (_, None) => String::new(),
            (Kind::Old, Some(ttl)) => ttl.as_secs_f64().to_string(),
            (Kind::Token, Some(ttl)) => ttl.as_millis().max(1).to_string(),
        }
    }

    pub(crate) async fn take(
        &self,
        kind: Kind,
        token: &str,
        allowed: Allowed,
    ) -> Result<Half, Obstacle> {
        match kind {
            Kind::Old => self.ask(kind, &OLD_ACQUIRE, None, allowed).await,
            Kind::Token => self.ask(kind, &TOKEN_ACQUIRE, Some(token), allowed).await,
        }
    }

    /// [`Obstacle::Held`] says that the half is no longer ours.
    pub(crate) async fn renew(&self, half: &Half, allowed: Allowed) -> Result<Half, Obstacle> {
        let step = match half.kind {
            Kind::Old => &OLD_RENEW,
            Kind::Token => &TOKEN_RENEW,
        };
        self.ask(half.kind, step, Some(&half.value), allowed).await
    }

    async fn ask(
        &self,
        kind: Kind,
        step: &'static Step,
        value: Option<&str>,
        allowed: Allowed,
    ) -> Result<Half, Obstacle> {
        let sent_at = Instant::now();
        let mut keys = vec![self.key(kind)];
        if !allowed.is_empty() {
            keys.push(self.keys.phase());
        }
        let names: Vec<&str> = allowed.iter().map(|phase| phase.as_str()).collect();
        let mut args: Vec<String> = value.into_iter().map(str::to_owned).collect();
        args.extend([self.ttl_arg(kind), names.join(",")]);
        let answer: Vec<Value> = self.redis.run(step, keys, args).await?;
        match answer.as_slice() {
            [Value::Int(1), Value::BulkString(value), Value::Int(left)] => Ok(Half {
                kind,
                value: String::from_utf8_lossy(value).into_owned(),
                until: milliseconds(*left).map(|left| sent_at + left),
            }),
            [Value::Int(0)] => Err(Obstacle::Held { left: None }),
            [Value::Int(0), _, Value::Int(left)] => {
                Err(Obstacle::Held { left: milliseconds(*left) })
            }
            [Value::Int(-1), Value::BulkString(phase)] => {
                Err(Obstacle::PhaseMoved(String::from_utf8_lossy(phase).into_owned()))
            }
            _ => Err(Fault::unexpected(format!("{answer:?}")).into()),
        }
    }

    /// Looks whether another holder has the old lock, and takes nothing.
    pub(crate) async fn expect_no_old_lock(&self) -> Result<(), Obstacle> {
        let mut get = redis::cmd("GET");
        get.arg(self.key(Kind::Old));
        let value: Option<Vec<u8>> = self.redis.query(get).await?;
        let Some(value) = value else { return Ok(()) };
        let now = self.redis.time().await?;
        match OldExpiry::read(&value) {
            OldExpiry::Forever => Err(Obstacle::Held { left: None }),
            OldExpiry::Until(until) if until >= now => {
                Err(Obstacle::Held { left: Duration::try_from_secs_f64(until - now).ok() })
            }
            OldExpiry::Until(_) => Ok(()),
        }
    }

    /// Deletes the key if it still has our value. `false` if it has not.
    pub(crate) async fn give_back(&self, kind: Kind, value: &str) -> Result<bool, Fault> {
        self.redis.run(&RELEASE, vec![self.key(kind)], vec![value.to_owned()]).await
    }
}

/// Each attempt has its own token: a release of an earlier attempt that arrives late must not touch
/// a later one.
pub(crate) fn fresh_token() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Redis answers a negative number where nothing expires.
fn milliseconds(left: i64) -> Option<Duration> {
    u64::try_from(left).ok().map(Duration::from_millis)
}
