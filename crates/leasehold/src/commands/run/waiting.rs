//! What is told while somebody else has the lock: for what we wait, who holds it, and for how long.

use crate::duration;
use crate::output;
use leasehold_redis::{Keys, LockEntry, Redis};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Who waits for so long is told why.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// So often Redis is asked who holds the lock.
const LOOKED_EVERY: Duration = Duration::from_secs(5);
/// In a log, the second message comes after this long, and each further one after twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// An answer that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A lock that somebody waits for.
pub(super) struct Wanted<'a> {
    pub(super) redis: &'a Redis,
    pub(super) keys: Keys,
    pub(super) id: &'a str,
    /// How long we wait at most; `None` for ever.
    pub(super) at_most: Option<Duration>,
    pub(super) since: Instant,
}

impl Wanted<'_> {
    /// Tells until it is dropped.
    pub(super) async fn tell(&self) -> Infallible {
        sleep(TOLD_AFTER).await;
        if output::progress_is_seen() { self.redraw().await } else { self.log().await }
    }

    async fn redraw(&self) -> Infallible {
        loop {
            let (held, looked_at) = (self.held_by().await, Instant::now());
            while looked_at.elapsed() < LOOKED_EVERY {
                output::progress(&self.message(&held));
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    async fn log(&self) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            output::say(&self.message(&self.held_by().await));
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn message(&self, held: &str) -> String {
        let so_far = duration::show(self.since.elapsed());
        let of = self.at_most.map(|at_most| format!(" of {}", duration::show(at_most)));
        format!("waiting for lock {:?}, {so_far}{}: {held}", self.id, of.unwrap_or_default())
    }

    /// Who holds the lock and for how long, in words.
    pub(super) async fn held_by(&self) -> String {
        let looked = timeout(PATIENCE, LockEntry::look(self.redis, &self.keys, self.id)).await;
        let entry = match looked {
            Ok(Ok(Some(entry))) => entry,
            Ok(Ok(None)) => return "at this moment it is free".to_owned(),
            Ok(Err(_)) | Err(_) => return "who holds it cannot be told".to_owned(),
        };
        let holder = entry.holder.as_ref().map_or_else(
            || "a program that does not say who it is".to_owned(),
            ToString::to_string,
        );
        match entry.left() {
            Some(left) => {
                format!("held by {holder}, for {} unless renewed", duration::show(left))
            }
            None => format!("held by {holder}, for ever unless given back"),
        }
    }
}
