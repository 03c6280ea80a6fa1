//! Whether the upstream answered the last request. A change is logged once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::UpstreamError;
use crate::config::UpstreamUrl;

/// Whether the upstream answered the last request, and why not.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    is_ill: AtomicBool,
    why: Mutex<Option<String>>,
}

impl Pulse {
    /// Notes the end of a request.
    pub(super) fn feel(&self, url: &UpstreamUrl, error: Option<&UpstreamError>) {
        let Some(error) = error else {
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
