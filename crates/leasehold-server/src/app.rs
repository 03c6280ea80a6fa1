//! What every handler has at hand, and the router of all of them.

use std::sync::Arc;

use axum::Router;

use crate::config::Config;
use crate::coordinator::Handle;
use crate::csrf::CsrfTokens;
use crate::gate::Gate;
use crate::places::Places;
use crate::routes;

/// What every handler has at hand.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    ledger: Handle,
    config: Config,
    gate: Gate,
    places: Places,
}

impl App {
    /// An application on a running coordinator.
    pub fn new(ledger: Handle, config: Config) -> Self {
        let csrf = config.is_csrf_protected.then(CsrfTokens::default);
        let gate = Gate::new(config.auth_string.as_deref(), csrf);
        Self(Arc::new(Inner { ledger, config, gate, places: Places::default() }))
    }

    /// The router of everything that is served.
    pub fn into_router(self) -> Router {
        routes::router(self)
    }

    pub(crate) fn ledger(&self) -> &Handle {
        &self.0.ledger
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn places(&self) -> &Places {
        &self.0.places
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }
}
