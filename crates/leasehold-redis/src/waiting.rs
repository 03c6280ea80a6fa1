//! The pauses between attempts: by keyspace notification if Redis publishes them, else by polling.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use crate::redis_connection::Redis;
use crate::transport::KeyChanges;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause without notifications: a released lock stays idle no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// With notifications, an attempt in between only covers for one that got lost.
const LONGEST_PAUSE_WATCHING: Duration = Duration::from_secs(5);

/// The pauses between the attempts of one caller.
pub(crate) struct Waiting {
    pause: Duration,
    changes: Option<KeyChanges>,
    is_fresh: bool,
}

impl Waiting {
    pub(crate) async fn start(redis: &Redis, keys: Vec<String>) -> Self {
        Self { is_fresh: true, pause: FIRST_PAUSE, changes: redis.transport.watch(keys).await }
    }

    /// Waits until another attempt can succeed, and at most until `deadline`. `left` is how long
    /// the present holder has the lock unless it renews it.
    pub(crate) async fn pause(&mut self, left: Option<Duration>, deadline: Option<Instant>) {
        let is_fresh = std::mem::replace(&mut self.is_fresh, false);
        if is_fresh && self.changes.is_some() {
            // The key may have changed before the subscription.
            return;
        }
        let longest = if self.changes.is_some() { LONGEST_PAUSE_WATCHING } else { LONGEST_PAUSE };
        let jittered = self.pause.mul_f64(0.5 + fastrand::f64());
        self.pause = (self.pause * 2).min(longest);
        let mut pause = if self.changes.is_some() { longest } else { jittered };
        if let Some(left) = left {
            pause = pause.min(left + Duration::from_millis(1 + fastrand::u64(..5)));
        }
        let mut wake = Instant::now() + pause;
        if let Some(deadline) = deadline {
            wake = wake.min(deadline);
        }
        match &mut self.changes {
            None => sleep_until(wake).await,
            Some(changes) => {
                let ended = tokio::select! {
                    biased;
                    change = changes.next() => change.is_none(),
                    () = sleep_until(wake) => false,
                };
                if ended {
                    // The subscription's connection broke: from here on it polls.
                    self.changes = None;
                }
            }
        }
    }
}
