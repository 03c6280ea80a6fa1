//! Waiting for a lock that somebody else has: by keyspace notification where Redis sends them, else
//! by polling.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use crate::redis_connection::{KeyWatch, Redis};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Polling is no rarer than this, so that a lock which was given back stands idle for a second at
/// most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// With notifications, polling only covers for one that got lost.
const LONGEST_PAUSE_WATCHING: Duration = Duration::from_secs(5);

/// The pauses between the attempts of one caller.
pub(crate) struct Waiting {
    pause: Duration,
    watch: Option<KeyWatch>,
    is_fresh: bool,
}

impl Waiting {
    pub(crate) async fn start(redis: &Redis, keys: Vec<String>) -> Self {
        Self { is_fresh: true, pause: FIRST_PAUSE, watch: redis.transport.watch(keys).await }
    }

    /// Waits until trying again makes sense, at most until `deadline`. `left` is what the lock in
    /// the way has left.
    pub(crate) async fn pause(&mut self, left: Option<Duration>, deadline: Option<Instant>) {
        let is_fresh = std::mem::replace(&mut self.is_fresh, false);
        if is_fresh && self.watch.is_some() {
            // What changed before we listened was not heard.
            return;
        }
        let longest = if self.watch.is_some() { LONGEST_PAUSE_WATCHING } else { LONGEST_PAUSE };
        let jittered = self.pause.mul_f64(0.5 + fastrand::f64());
        self.pause = (self.pause * 2).min(longest);
        let mut pause = if self.watch.is_some() { longest } else { jittered };
        if let Some(left) = left {
            pause = pause.min(left + Duration::from_millis(1 + fastrand::u64(..5)));
        }
        let mut wake = Instant::now() + pause;
        if let Some(deadline) = deadline {
            wake = wake.min(deadline);
        }
        match &mut self.watch {
            None => sleep_until(wake).await,
            Some(watch) => {
                let ended = tokio::select! {
                    biased;
                    change = watch.changes.next() => change.is_none(),
                    () = sleep_until(wake) => false,
                };
                if ended {
                    // The subscription's connection broke: from here on by polling.
                    self.watch = None;
                }
            }
        }
    }
}
