//! What every handler has at hand, and the router of all of them.

use std::net::IpAddr;
use std::sync::Arc;

use leasehold_engine::{Acquire, Span};
use leasehold_node::{Answer, Handle, Notices, Unavailable, Wait};

use crate::access::gate::{Gate, Gated};
use crate::access::origin::Origins;
use crate::acquire::near_names::Twins;
use crate::acquire::polling::Places;
use crate::config::Config;
use crate::doors;
use crate::event_log::EventLog;
use crate::http::access_log::subject;
use crate::http::quota::Crowd;
use crate::http::sockets::Sockets;
use crate::liveness::evidence::Witness;
use crate::liveness::introductions::Introductions;
use crate::liveness::joins::Joins;
use crate::liveness::released::Released;
use crate::records::Recorder;

/// What every handler has at hand.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    ledger: Handle,
    /// The requests that are held open now.
    held_open: Arc<Crowd>,
    recorder: Option<Recorder>,
    witness: Option<Witness>,
    event_log: Option<EventLog>,
    config: Config,
    gate: Gate,
    places: Places,
    sockets: Sockets,
    streams: Arc<Crowd>,
    released: Released,
    introductions: Arc<Introductions>,
    notices: Notices,
    origins: Origins,
    joins: Joins,
    twins: Twins,
}

impl App {
    /// An application on a running ledger. It records no runs.
    pub fn new(ledger: Handle, config: Config) -> Self {
        Self::build(ledger, None, None, None, config)
    }

    /// An application on a running ledger, with a place where runs are recorded.
    pub fn with_records(
        ledger: Handle,
        recorder: Recorder,
        witness: Witness,
        event_log: EventLog,
        config: Config,
    ) -> Self {
        Self::build(ledger, Some(recorder), Some(witness), Some(event_log), config)
    }

    fn build(
        ledger: Handle,
        recorder: Option<Recorder>,
        witness: Option<Witness>,
        event_log: Option<EventLog>,
        config: Config,
    ) -> Self {
        let gate = Gate::new(&config);
        let places = Places::default();
        let ledger = ledger.observed(subject::OBSERVER);
        // Each request that waits has a connection, and holders need connections too, to renew. One
        // address has half of the line at the most: it cannot keep all others out of it.
        let held_open = Crowd::new(config.waiters_max, config.waiters_max.div_ceil(2));
        let sockets_max = config.connections_max.div_ceil(2);
        let sockets = Sockets::new(sockets_max);
        let streams_max = config.connections_max.div_ceil(4);
        let streams = Crowd::new(streams_max, streams_max.div_ceil(2));
        let joins = Joins::new(ledger.clock().now());
        Self(Arc::new(Inner {
            ledger,
            held_open,
            recorder,
            witness,
            event_log,
            config,
            gate,
            places,
            sockets,
            streams,
            released: Released::default(),
            introductions: Arc::default(),
            notices: Notices::default(),
            origins: Origins::default(),
            joins,
            twins: Twins::default(),
        }))
    }

    /// Everything that is served.
    pub fn into_service(self) -> Gated {
        let router = doors::router(self.clone());
        Gated::new(self, router)
    }

    pub(crate) fn ledger(&self) -> &Handle {
        &self.0.ledger
    }

    /// Takes slots, and waits for them if they are not free. It takes a part of the share of the
    /// line that the address `from` has, if that is known and one client's; without room there it
    /// is refused at once.
    pub(crate) async fn acquire(
        &self,
        acquire: Acquire,
        wait: Wait,
        from: Option<IpAddr>,
    ) -> Result<Answer, Unavailable> {
        let wants_to_wait = wait.span > Span::ZERO;
        let member = wants_to_wait.then(|| self.0.held_open.enter(from)).flatten();
        let span = if member.is_some() { wait.span } else { Span::ZERO };
        self.ledger().acquire(acquire, Wait { span, ..wait }).await
    }

    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.0.recorder.as_ref()
    }

    pub(crate) fn witness(&self) -> Option<&Witness> {
        self.0.witness.as_ref()
    }

    pub(crate) fn event_log(&self) -> Option<&EventLog> {
        self.0.event_log.as_ref()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Whether a client that comes back is held open then, as things are now.
    pub(crate) fn holds_open(&self, from: Option<IpAddr>) -> bool {
        self.config().park_seconds > 0.0 && !self.0.held_open.is_full_for(from)
    }

    pub(crate) fn places(&self) -> &Places {
        &self.0.places
    }

    pub(crate) fn sockets(&self) -> &Sockets {
        &self.0.sockets
    }

    /// What was released a moment ago.
    pub(crate) fn released(&self) -> &Released {
        &self.0.released
    }

    /// The streams of events that are open.
    pub(crate) fn streams(&self) -> &Arc<Crowd> {
        &self.0.streams
    }

    pub(crate) fn introductions(&self) -> &Arc<Introductions> {
        &self.0.introductions
    }

    /// What the log says once.
    pub(crate) fn notices(&self) -> &Notices {
        &self.0.notices
    }

    /// Which grants clients will tell of in events.
    pub(crate) fn joins(&self) -> &Joins {
        &self.0.joins
    }

    pub(crate) fn twins(&self) -> &Twins {
        &self.0.twins
    }

    pub(crate) fn origins(&self) -> &Origins {
        &self.0.origins
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }
}
