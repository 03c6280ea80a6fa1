//! What a waiting run says: for what it waits, who holds it, and for how long.

use std::convert::Infallible;
use std::time::Duration;

use leasehold_redis::{Keys, LockEntry, Redis};
use tokio::time::{Instant, sleep, timeout};

use crate::duration;
use crate::output;

/// The first message comes after this long.
const FIRST_AFTER: Duration = Duration::from_secs(1);
/// How often Redis is asked for the holder.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// In a log, the second message comes after this long, and each further one after twice as long as
/// the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// An answer that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A lock that the run waits for.
pub(super) struct Wanted<'a> {
    pub(super) redis: &'a Redis,
    pub(super) keys: Keys,
    pub(super) id: &'a str,
    /// How long we wait at most; `None` for ever.
    pub(super) at_most: Option<Duration>,
    pub(super) since: Instant,
}

impl Wanted<'_> {
    /// Says what it waits for, until it is dropped.
    pub(super) async fn report(&self) -> Infallible {
        sleep(FIRST_AFTER).await;
        if output::progress_is_seen() { self.redraw().await } else { self.log().await }
    }

    async fn redraw(&self) -> Infallible {
        loop {
            let (held, looked_at) = (self.look().await, Instant::now());
            while looked_at.elapsed() < ASKED_EVERY {
                // The holder comes last: a long name is cut off.
                output::progress(&format!("waiting {} for {:?}: {held}", self.so_far(), self.id));
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    async fn log(&self) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            let held = self.look().await;
            output::say(&format!("waiting for lock {:?}, {}: {held}", self.id, self.so_far()));
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn so_far(&self) -> String {
        let so_far = duration::show(self.since.elapsed());
        match self.at_most {
            Some(at_most) => format!("{so_far} of {}", duration::show(at_most)),
            None => so_far,
        }
    }

    /// The holder and for how long it holds the lock, in words.
    pub(super) async fn look(&self) -> String {
        let looked = timeout(PATIENCE, LockEntry::look(self.redis, &self.keys, self.id)).await;
        let entry = match looked {
            Ok(Ok(Some(entry))) => entry,
            Ok(Ok(None)) => return "it is free at this moment".to_owned(),
            Ok(Err(_)) | Err(_) => return "its holder is not known".to_owned(),
        };
        let left = entry.left().map_or_else(
            || "for ever".to_owned(),
            |left| format!("for {} or longer", duration::show(left)),
        );
        let holder = entry
            .holder
            .as_ref()
            .map_or_else(|| "a program without a name".to_owned(), ToString::to_string);
        format!("held {left} by {holder}")
    }
}
