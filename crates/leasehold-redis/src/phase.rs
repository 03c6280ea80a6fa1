//! Mechanisms, and the phase that a fleet is in.

use std::fmt;
use std::str::FromStr;

use crate::fault::Fault;
use crate::keys::Keys;
use crate::redis_connection::Redis;

/// How a lock is kept on Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    /// `PREFIX:lock:ID` with an expiry as its value.
    Old,
    /// Both: the token lock first, then the old one.
    Dual,
    /// `PREFIX:lockv2:ID` with a random token as its value, and a TTL.
    Token,
}

/// Which mechanism a fleet uses at the moment. Its phases are the mechanisms.
pub type Phase = Mechanism;

impl Mechanism {
    /// All of them, in the order of the way from old to token.
    pub const ALL: [Self; 3] = [Self::Old, Self::Dual, Self::Token];

    /// The name in flags, keys and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::Dual => "dual",
            Self::Token => "token",
        }
    }

    /// Whether two holders with these mechanisms exclude each other.
    #[must_use]
    pub fn excludes(self, other: Self) -> bool {
        !matches!((self, other), (Self::Old, Self::Token) | (Self::Token, Self::Old))
    }

    /// The phase after this one on the way from old to token.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Old => Some(Self::Dual),
            Self::Dual => Some(Self::Token),
            Self::Token => None,
        }
    }

    /// The phase before this one on the way from old to token.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        match self {
            Self::Old => None,
            Self::Dual => Some(Self::Old),
            Self::Token => Some(Self::Dual),
        }
    }

    pub(crate) fn has_old_half(self) -> bool {
        self != Self::Token
    }

    pub(crate) fn has_token_half(self) -> bool {
        self != Self::Old
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is neither `old`, `dual` nor `token`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is none of old, dual, token")]
pub struct UnknownName(String);

impl FromStr for Mechanism {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "old" => Ok(Self::Old),
            "dual" => Ok(Self::Dual),
            "token" => Ok(Self::Token),
            _ => Err(UnknownName(text.to_owned())),
        }
    }
}

/// The phase key: which phase, and which change of it this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseState {
    /// Grows by one with every change. 0 where no phase was ever set.
    pub epoch: u64,
    /// The phase; token where there is no key.
    pub phase: Phase,
    /// When it was set, in Unix milliseconds by Redis's clock; `None` where there is no key.
    pub changed_at_ms: Option<u64>,
    /// The operator who set it.
    pub by: Option<String>,
}

impl PhaseState {
    /// Where no phase key is: token.
    #[must_use]
    pub fn absent() -> Self {
        Self { epoch: 0, phase: Phase::Token, changed_at_ms: None, by: None }
    }

    /// Reads the phase as it is now.
    pub(crate) async fn read(redis: &Redis, keys: &Keys) -> Result<Self, Fault> {
        let mut get = redis::cmd("GET");
        get.arg(keys.phase());
        match redis.query::<Option<String>>(get).await? {
            None => Ok(Self::absent()),
            Some(found) => {
                Self::parse(&found).ok_or_else(|| Fault::PhaseUnknown { key: keys.phase(), found })
            }
        }
    }

    fn parse(raw: &str) -> Option<Self> {
        let mut words = raw.splitn(4, ' ');
        Some(Self {
            epoch: words.next()?.parse().ok()?,
            phase: words.next()?.parse().ok()?,
            changed_at_ms: words.next().and_then(|word| word.parse().ok()),
            by: words.next().map(str::to_owned),
        })
    }
}
