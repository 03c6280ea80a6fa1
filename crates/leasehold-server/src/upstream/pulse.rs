//! Whether the upstream answers. A change is logged once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::UpstreamError;
use crate::config::UpstreamUrl;

/// For how long an upstream that answers nothing is slow. Then it is silent.
pub(super) const SLOW_MAX: Duration = Duration::from_secs(10);

/// Whether the upstream answers, and why not.
#[derive(Debug)]
pub(super) struct Pulse {
    born: Instant,
    /// When the last answer came, in milliseconds since `born`; one more, so that 0 is never.
    answered_ms: AtomicU64,
    is_ill: AtomicBool,
    why: Mutex<Option<String>>,
}

impl Default for Pulse {
    fn default() -> Self {
        let (answered_ms, is_ill) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { born: Instant::now(), answered_ms, is_ill, why: Mutex::default() }
    }
}

impl Pulse {
    /// Whether an answer came within the last ten seconds.
    pub(super) fn has_answered_lately(&self) -> bool {
        let answered_ms = self.answered_ms.load(Ordering::Relaxed);
        answered_ms > 0 && self.age_ms().saturating_sub(answered_ms) < millis(SLOW_MAX)
    }

    fn age_ms(&self) -> u64 {
        millis(self.born.elapsed()).saturating_add(1)
    }

    /// Notes the end of a request. One that was given up while others are answered says nothing:
    /// the upstream is slow.
    pub(super) fn feel(&self, url: &UpstreamUrl, error: Option<&UpstreamError>) {
        let is_silent = matches!(error, Some(UpstreamError::Silent { .. }));
        if is_silent && self.has_answered_lately() {
            return;
        }
        let Some(error) = error else {
            self.answered_ms.store(self.age_ms(), Ordering::Relaxed);
            if self.is_ill.load(Ordering::Relaxed) && self.is_ill.swap(false, Ordering::Relaxed) {
                *self.why.lock().unwrap_or_else(PoisonError::into_inner) = None;
                tracing::info!(%url, "the Prefect server answers again");
            }
            return;
        };
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        if self.is_ill.swap(true, Ordering::Relaxed) {
            return;
        }
        if matches!(error, UpstreamError::Silent { .. }) {
            tracing::warn!("{error}; what clients ask before any limit comes from memory");
        } else {
            tracing::warn!("{error}; what needs it is answered 502 until it is back");
        }
    }

    /// Why the last request got no answer, if it got none.
    pub(super) fn illness(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_that_answers_others_is_slow_and_not_silent() {
        let url: UpstreamUrl = "http://prefect:4200".parse().unwrap();
        let silent = UpstreamError::silent(&url, Duration::from_secs(2));
        let pulse = Pulse::default();
        pulse.feel(&url, Some(&silent));
        assert!(pulse.illness().is_some(), "it has never answered");
        pulse.feel(&url, None);
        assert!(pulse.illness().is_none() && pulse.has_answered_lately());
        pulse.feel(&url, Some(&silent));
        assert_eq!(pulse.illness(), None);
        let gone = UpstreamError::broken(&url, "reset".to_owned());
        pulse.feel(&url, Some(&gone));
        assert!(pulse.illness().is_some(), "a connection that breaks is no slow one");
    }
}
