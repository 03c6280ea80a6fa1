//! The state that all handlers share.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRef;
use leasehold_node::{Handle, Notices};
use tokio::sync::Semaphore;

use crate::access::gate::Gate;
use crate::access::origin::Origins;
use crate::acquire::Acquirer;
use crate::config::{CONNECTIONS_MAX, Config};
use crate::event_log::EventLog;
use crate::event_log::client_event::ClientEvent;
use crate::figures::{Counting, Figures};
use crate::http::access_log::{self, subject};
use crate::http::quota::Crowd;
use crate::http::sockets::Sockets;
use crate::liveness::evidence::Witness;
use crate::liveness::introductions::Introductions;
use crate::liveness::joins;
use crate::liveness::observe::Observer;
use crate::liveness::released::Released;
use crate::migration::{MemoryFile, Migration};
use crate::records::Recorder;
use crate::survey::Survey;
use crate::upstream::Upstream;

/// The state that all handlers share.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    ledger: Handle,
    recorder: Option<Recorder>,
    witness: Option<Witness>,
    event_log: Option<EventLog>,
    config: Config,
    gate: Gate,
    acquirer: Acquirer,
    sockets: Sockets,
    streams: Arc<Crowd>,
    released: Released,
    introductions: Arc<Introductions>,
    notices: Notices,
    origins: Arc<Origins>,
    survey: Arc<Survey>,
    figures: Figures,
    upstream: Option<Upstream>,
    migration: Option<Migration>,
    /// One permit for each connection that may be open.
    connections: Arc<Semaphore>,
}

impl App {
    /// An application on a running ledger. It records no runs.
    pub fn new(ledger: Handle, config: Config, upstream: Option<Upstream>) -> Self {
        Self::build(ledger, None, config, upstream)
    }

    /// An application on a running ledger that records runs and events.
    pub fn with_records(
        ledger: Handle,
        recorder: Recorder,
        witness: Witness,
        event_log: EventLog,
        config: Config,
        upstream: Option<Upstream>,
    ) -> Self {
        Self::build(ledger, Some((recorder, witness, event_log)), config, upstream)
    }

    fn build(
        ledger: Handle,
        recording: Option<(Recorder, Witness, EventLog)>,
        config: Config,
        upstream: Option<Upstream>,
    ) -> Self {
        let (recorder, witness, event_log) = match recording {
            Some((recorder, witness, event_log)) => {
                (Some(recorder), Some(witness), Some(event_log))
            }
            None => (None, None, None),
        };
        let migration = upstream.clone().map(|upstream| {
            let file = config.dropped_phantoms_file.clone().map(MemoryFile);
            Migration::start(ledger.clone(), upstream, file)
        });
        let gate = Gate::new(&config);
        let ledger = ledger.observed(subject::OBSERVER);
        let sockets_max = config.connections_max.div_ceil(2);
        let sockets = Sockets::new(sockets_max);
        let streams_max = config.connections_max.div_ceil(4);
        let streams = Crowd::new(streams_max, streams_max.div_ceil(2));
        let figures = Figures::default();
        let acquirer = Acquirer::new(
            ledger.clone(),
            recorder.clone(),
            event_log.clone(),
            config.clone(),
            figures.clone(),
        );
        let survey = Arc::new(Survey::new(ledger.clone()));
        let connections_max = config.connections_max.min(CONNECTIONS_MAX);
        let connections = Arc::new(Semaphore::new(connections_max));
        Self(Arc::new(Inner {
            ledger,
            recorder,
            witness,
            event_log,
            config,
            gate,
            acquirer,
            sockets,
            streams,
            released: Released::default(),
            introductions: Arc::default(),
            notices: Notices::default(),
            origins: Arc::default(),
            survey,
            figures,
            upstream,
            migration,
            connections,
        }))
    }

    pub(crate) fn ledger(&self) -> &Handle {
        &self.0.ledger
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

    /// Notes an event that a client at `address` sent: in the log, in the records, and as evidence
    /// of who lives. `false` if the text is no event.
    pub(crate) async fn hear(&self, text: &str, address: Option<IpAddr>) -> bool {
        let Some((event, sent)) = ClientEvent::read(text) else { return false };
        let said = (&event, &sent);
        joins::hear(self.acquirer().joins(), self.ledger(), self.event_log(), said, address);
        if let (Some(recorder), Some(witness)) = (self.recorder(), self.witness()) {
            let (clock, log) = (self.ledger().clock(), self.event_log());
            let introductions = self.introductions();
            let observer = Observer { clock, recorder, witness, log, introductions };
            observer.observe(event, sent).await;
        }
        true
    }

    /// Whether each request is logged.
    pub(crate) fn logs_requests(&self) -> bool {
        access_log::is_on(self.config().has_access_log)
    }

    /// Acquires for clients that poll.
    pub(crate) fn acquirer(&self) -> &Acquirer {
        &self.0.acquirer
    }

    pub(crate) fn sockets(&self) -> &Sockets {
        &self.0.sockets
    }

    /// The leases that were released a moment ago.
    pub(crate) fn released(&self) -> &Released {
        &self.0.released
    }

    /// The open streams of events.
    pub(crate) fn streams(&self) -> &Arc<Crowd> {
        &self.0.streams
    }

    pub(crate) fn introductions(&self) -> &Arc<Introductions> {
        &self.0.introductions
    }

    /// The lines that are logged once.
    pub(crate) fn notices(&self) -> &Notices {
        &self.0.notices
    }

    /// The Prefect server behind this one, if there is one.
    pub(crate) fn upstream(&self) -> Option<&Upstream> {
        self.0.upstream.as_ref()
    }

    /// All limits, as pages count, search and sort them.
    pub(crate) fn survey(&self) -> &Arc<Survey> {
        &self.0.survey
    }

    /// The migration from that server.
    pub(crate) fn migration(&self) -> Option<&Migration> {
        self.0.migration.as_ref()
    }

    /// What the server counts.
    pub(crate) fn figures(&self) -> &Figures {
        &self.0.figures
    }

    /// The permits of connections.
    pub(crate) fn connection_permits(&self) -> &Arc<Semaphore> {
        &self.0.connections
    }

    /// How many connections are open, and how many may be.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let connections_max = self.config().connections_max.min(CONNECTIONS_MAX);
        (connections_max - self.0.connections.available_permits(), connections_max)
    }

    /// Starts to count what happens. Call it within a tokio runtime.
    pub(crate) fn start_counting(&self) -> Counting {
        let (survey, recorder) = (self.survey().clone(), self.recorder().cloned());
        Counting::start(self.figures(), self.ledger(), survey, recorder)
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }
}

impl FromRef<App> for Arc<Origins> {
    fn from_ref(app: &App) -> Self {
        app.0.origins.clone()
    }
}
