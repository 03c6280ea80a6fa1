//! The only place that reads the time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use leasehold_engine::{Span, Timestamp};
use tokio::sync::watch;

/// A clock that never runs backwards.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: Instant, origin_at: Timestamp },
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The wall clock as it is now, carried on by the monotonic clock: a step of the wall
    /// clock, in either direction, neither kills a lease nor makes one live longer. Begins no
    /// earlier than `at_least`, which a journal has seen already.
    pub fn system(at_least: Timestamp) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        Self(Source::System {
            origin: Instant::now(),
            origin_at: Timestamp::from_micros(wall).max(at_least),
        })
    }

    /// A clock that stands still at `at` until it is told to go on. For tests.
    pub fn manual(at: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(watch::Sender::new(at))))
    }

    /// Moves a manual clock on. The system's clock cannot be moved.
    pub fn advance(&self, span: Span) {
        if let Source::Manual(sender) = &self.0 {
            sender.send_modify(|at| *at = *at + span);
        }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { origin, origin_at } => {
                let elapsed = u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX);
                *origin_at + Span::from_micros(elapsed)
            }
            Source::Manual(sender) => *sender.borrow(),
        }
    }

    /// Sleeps until the clock shows `at` or later; forever if there is no such time.
    pub async fn sleep_until(&self, at: Option<Timestamp>) {
        let Some(at) = at else { return std::future::pending().await };
        match &self.0 {
            Source::System { .. } => {
                let span = at.since(self.now());
                tokio::time::sleep(Duration::from_micros(span.as_micros())).await;
            }
            Source::Manual(sender) => {
                // The sender lives in this very clock, so waiting cannot fail.
                let _ = sender.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }
}
