//! The only place that reads the time.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use leasehold_engine::{Span, Timestamp};
use tokio::sync::watch;

/// A clock that never runs backwards.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: Instant, origin_at: Timestamp },
    Manual(Arc<Manual>),
}

/// A clock that is moved by hand.
struct Manual {
    at: watch::Sender<Timestamp>,
    /// The last move counts as a standstill of the server.
    is_standstill: AtomicBool,
    when_moved: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl Clock {
    /// Starts at the wall clock and runs by the monotonic clock: a step of the wall clock neither
    /// ends a lease early nor extends it.
    pub fn system() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        Self(Source::System { origin: Instant::now(), origin_at: Timestamp::from_micros(wall) })
    }

    /// A clock that stands still at `at` until it is moved. For tests.
    pub fn manual(at: Timestamp) -> Self {
        let when_moved = Mutex::default();
        let is_standstill = AtomicBool::new(false);
        Self(Source::Manual(Arc::new(Manual {
            at: watch::Sender::new(at),
            is_standstill,
            when_moved,
        })))
    }

    /// Advances a manual clock as if the server had been stopped meanwhile.
    pub fn stand_still(&self, span: Span) {
        if let Source::Manual(manual) = &self.0 {
            manual.is_standstill.store(true, Ordering::SeqCst);
        }
        self.advance(span);
    }

    /// Whether a leap of this clock means that the process stood still. A leap of a manual clock
    /// means it only after [`Self::stand_still`].
    pub(crate) fn shows_standstills(&self) -> bool {
        match &self.0 {
            Source::System { .. } => true,
            Source::Manual(manual) => manual.is_standstill.swap(false, Ordering::SeqCst),
        }
    }

    /// Advances a manual clock. The system's clock cannot be moved.
    pub fn advance(&self, span: Span) {
        if let Source::Manual(manual) = &self.0 {
            manual.at.send_modify(|at| *at = *at + span);
            let when_moved = manual.when_moved.lock().unwrap_or_else(PoisonError::into_inner);
            when_moved.iter().for_each(|tell| tell());
        }
    }

    /// Calls `tell` after each move by hand, for threads that sleep by [`Self::until`].
    pub(crate) fn when_moved(&self, tell: impl Fn() + Send + 'static) {
        if let Source::Manual(manual) = &self.0 {
            let mut when_moved = manual.when_moved.lock().unwrap_or_else(PoisonError::into_inner);
            when_moved.push(Box::new(tell));
        }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { origin, origin_at } => {
                let elapsed = u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX);
                *origin_at + Span::from_micros(elapsed)
            }
            Source::Manual(manual) => *manual.at.borrow(),
        }
    }

    /// How long until the clock shows `at`. `None` if it has to be moved by hand for that.
    pub(crate) fn until(&self, at: Timestamp) -> Option<Duration> {
        let span = at.since(self.now());
        match &self.0 {
            Source::Manual(_) if span > Span::ZERO => None,
            _ => Some(Duration::from_micros(span.as_micros())),
        }
    }

    /// Sleeps until the clock shows `at` or later; forever if `at` is `None`.
    pub async fn sleep_until(&self, at: Option<Timestamp>) {
        let Some(at) = at else { return std::future::pending().await };
        match &self.0 {
            Source::System { .. } => {
                let span = at.since(self.now());
                tokio::time::sleep(Duration::from_micros(span.as_micros())).await;
            }
            Source::Manual(manual) => {
                // The sender lives in this clock, so waiting cannot fail.
                let _ = manual.at.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }
}

impl fmt::Debug for Manual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manual").field("at", &*self.at.borrow()).finish_non_exhaustive()
    }
}
