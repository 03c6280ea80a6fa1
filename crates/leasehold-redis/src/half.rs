//! One key of a lock: the old half or the token half. A lock holds one of them, or both.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use crate::expiry::OldExpiry;
use crate::fault::Fault;
use crate::keys::Keys;
use crate::phase::Phase;
use crate::redis_connection::Redis;
use crate::scripts::{OLD_ACQUIRE, OLD_RENEW, RELEASE, TOKEN_ACQUIRE, TOKEN_RENEW};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Old,
    Token,
}

/// Which phases a step may be done in; empty for a lock that does not follow the phase.
pub(crate) type Allowed = &'static [Phase];

pub(crate) const ANY_PHASE: Allowed = &[];

/// A half that we hold: what we wrote into its key, and until when it is ours at least.
#[derive(Clone, Debug)]
pub(crate) struct Half {
    pub(crate) kind: Kind,
    pub(crate) value: String,
    /// Measured from before the request was sent, so that it is never later than Redis's own.
    /// `None` without a ttl.
    pub(crate) until: Option<Instant>,
}

#[derive(Debug)]
pub(crate) enum Taken {
    Yes(Half),
    /// Somebody else has it, for this long if nobody renews it.
    Busy {
        left: Option<Duration>,
    },
    PhaseMoved(String),
}

#[derive(Debug)]
pub(crate) enum Renewed {
    Yes(Half),
    NotOurs,
    PhaseMoved(String),
}

/// Where a lock is and for how long it is taken.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
    pub(crate) id: String,
    pub(crate) ttl: Option<Duration>,
}

impl Spot {
    pub(crate) fn key(&self, kind: Kind) -> String {
        match kind {
            Kind::Old => self.keys.old_lock(&self.id),
            Kind::Token => self.keys.token_lock(&self.id),
        }
    }

    fn script_keys(&self, kind: Kind, allowed: Allowed) -> Vec<String> {
        let mut keys = vec![self.key(kind)];
        if !allowed.is_empty() {
            keys.push(self.keys.phase());
        }
        keys
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
    ) -> Result<Taken, Fault> {
        let sent_at = Instant::now();
        let keys = self.script_keys(kind, allowed);
        let (step, args) = match kind {
            Kind::Old => (&OLD_ACQUIRE, vec![self.ttl_arg(kind), names(allowed)]),
            Kind::Token => {
                (&TOKEN_ACQUIRE, vec![token.to_owned(), self.ttl_arg(kind), names(allowed)])
            }
        };
        match read(&self.redis.run(step, keys, args).await?)? {
            Answer::Yes { value, left } => {
                Ok(Taken::Yes(Half { kind, value, until: left.map(|left| sent_at + left) }))
            }
            Answer::No { left } => Ok(Taken::Busy { left }),
            Answer::PhaseMoved(phase) => Ok(Taken::PhaseMoved(phase)),
        }
    }

    pub(crate) async fn renew(&self, half: &Half, allowed: Allowed) -> Result<Renewed, Fault> {
        let sent_at = Instant::now();
        let kind = half.kind;
        let keys = self.script_keys(kind, allowed);
        let step = match kind {
            Kind::Old => &OLD_RENEW,
            Kind::Token => &TOKEN_RENEW,
        };
        let args = vec![half.value.clone(), self.ttl_arg(kind), names(allowed)];
        match read(&self.redis.run(step, keys, args).await?)? {
            Answer::Yes { value, left } => {
                Ok(Renewed::Yes(Half { kind, value, until: left.map(|left| sent_at + left) }))
            }
            Answer::No { .. } => Ok(Renewed::NotOurs),
            Answer::PhaseMoved(phase) => Ok(Renewed::PhaseMoved(phase)),
        }
    }

    /// Whether somebody holds the old lock, and for how long if that is known. Only looks.
    pub(crate) async fn old_lock_in_the_way(&self) -> Result<Option<Option<Duration>>, Fault> {
        let mut get = redis::cmd("GET");
        get.arg(self.key(Kind::Old));
        let value: Option<Vec<u8>> = self.redis.query(get).await?;
        let Some(value) = value else { return Ok(None) };
        let now = self.redis.time().await?;
        Ok(match OldExpiry::read(&value) {
            OldExpiry::Forever => Some(None),
            OldExpiry::Until(until) if until >= now => {
                Some(Duration::try_from_secs_f64(until - now).ok())
            }
            OldExpiry::Until(_) => None,
        })
    }

    /// Deletes the key if it is still what we wrote. `false` when it was not ours any more.
    pub(crate) async fn give_back(&self, kind: Kind, value: &str) -> Result<bool, Fault> {
        let answer = self.redis.run(&RELEASE, vec![self.key(kind)], vec![value.to_owned()]).await?;
        match answer {
            Value::Int(released) => Ok(released == 1),
            other => Err(Fault::unexpected(format!("{other:?}"))),
        }
    }
}

fn names(allowed: Allowed) -> String {
    allowed.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(",")
}

enum Answer {
    Yes { value: String, left: Option<Duration> },
    No { left: Option<Duration> },
    PhaseMoved(String),
}

fn read(value: &Value) -> Result<Answer, Fault> {
    let Value::Array(fields) = value else {
        return Err(Fault::unexpected(format!("{value:?}")));
    };
    match fields.as_slice() {
        [Value::Int(1), Value::BulkString(value), Value::Int(left)] => Ok(Answer::Yes {
            value: String::from_utf8_lossy(value).into_owned(),
            left: milliseconds(*left),
        }),
        [Value::Int(0)] => Ok(Answer::No { left: None }),
        [Value::Int(0), _, Value::Int(left)] => Ok(Answer::No { left: milliseconds(*left) }),
        [Value::Int(-1), Value::BulkString(phase)] => {
            Ok(Answer::PhaseMoved(String::from_utf8_lossy(phase).into_owned()))
        }
        _ => Err(Fault::unexpected(format!("{value:?}"))),
    }
}

fn milliseconds(left: i64) -> Option<Duration> {
    u64::try_from(left).ok().map(Duration::from_millis)
}
