//! A walk over the keys of one Redis with SCAN, which never blocks it.

use std::time::Duration;

use crate::fault::Fault;
use crate::redis_connection::Redis;

/// So many keys are looked at in one round trip.
pub(crate) const BATCH: usize = 500;

/// How gently to walk.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Pause between two SCAN calls.
    pub pause: Duration,
    /// How many keys Redis looks at in one SCAN call.
    pub count: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: Duration::from_millis(2), count: 1_000 }
    }
}

pub(crate) struct Walk<'a> {
    redis: &'a Redis,
    pattern: Option<String>,
    pace: &'a Pace,
    /// `None` before the first SCAN; 0 after the last.
    cursor: Option<u64>,
}

impl<'a> Walk<'a> {
    /// A walk over the keys that match `pattern`, or over all of them.
    ///
    /// # Errors
    /// When this is a cluster: a SCAN sees the keys of one node.
    pub(crate) fn start(
        redis: &'a Redis,
        pattern: Option<String>,
        pace: &'a Pace,
    ) -> Result<Self, Fault> {
        if redis.is_cluster() {
            let cause = "a walk over the keys reads one server; name each master of the cluster by \
                         its own redis:// address";
            return Err(Fault::Refused { cause: cause.to_owned() });
        }
        Ok(Self { redis, pattern, pace, cursor: None })
    }

    /// The keys of the next SCAN, after the pause; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, Fault> {
        match self.cursor {
            Some(0) => return Ok(None),
            Some(_) => tokio::time::sleep(self.pace.pause).await,
            None => {}
        }
        let mut scan = redis::cmd("SCAN");
        scan.arg(self.cursor.unwrap_or(0));
        if let Some(pattern) = &self.pattern {
            scan.arg("MATCH").arg(pattern);
        }
        scan.arg("COUNT").arg(self.pace.count);
        let (cursor, keys): (u64, Vec<Vec<u8>>) = self.redis.query(scan).await?;
        self.cursor = Some(cursor);
        Ok(Some(keys))
    }

    /// Whether that was the last SCAN.
    pub(crate) fn is_over(&self) -> bool {
        self.cursor == Some(0)
    }
}
