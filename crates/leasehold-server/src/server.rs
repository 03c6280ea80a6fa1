//! The one composition of a server: journal, clock, the ledger's thread, records, evidence, log of
//! events, and what is served on top of them.

use std::io;
use std::time::Duration;

use leasehold_engine::{LeaseId, Span};
use leasehold_journal::{Journal, LoadError};
use leasehold_node::{Clock, Handle, Running};
use leasehold_records::Records;
use tokio::net::TcpListener;

use crate::app::App;
use crate::config::Config;
use crate::event_log::{self, EventLog, LogTask};
use crate::figures::Counting;
use crate::http::serve::{self, Bounds};
use crate::liveness::evidence::{Watch, Witness};
use crate::records::{Recorder, RunningRecorder};
use crate::router::HttpService;
use crate::upstream::{NoTls, Upstream, UpstreamRefused};

/// How long the records may take to be durable when the server stops.
const RECORDING_STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What a server is started with, besides its journal.
#[derive(Debug)]
pub struct Options {
    /// What an operator can set.
    pub config: Config,
    /// Where runs and events are recorded. A server without records serves only limits and leases.
    pub records: Option<Records>,
    /// How many routine events are logged in a second at most; 0 for all.
    pub events_per_second_max: u32,
    /// The source of the time.
    pub clock: Clock,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The journal could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The upstream's certificates could not be prepared.
    #[error(transparent)]
    Tls(#[from] NoTls),
    /// The system could not start the thread.
    #[error("the ledger's thread could not be started")]
    Thread(#[from] io::Error),
}

/// A running server.
pub struct Server {
    app: App,
    ledger: Running,
    counting: Counting,
    recording: Option<Recording>,
}

/// What records runs and events while the server runs.
struct Recording {
    records: RunningRecorder,
    watch: Watch,
    log: LogTask,
}

impl Server {
    /// Starts a server, which serves no connections yet. Call it within a tokio runtime.
    ///
    /// # Errors
    /// If the journal cannot be read, or the system cannot start the thread.
    pub fn start<J: Journal + 'static>(journal: J, options: Options) -> Result<Self, StartError> {
        let Options { config, mut records, events_per_second_max, clock } = options;
        let upstream = config.upstream.as_ref();
        let upstream = upstream.map(|url| {
            Upstream::new(url, config.is_upstream_by_name, config.auth_string.as_deref())
        });
        let upstream = upstream.transpose()?;
        let loaded = leasehold_node::load(journal)?;
        if let Some(records) = &mut records {
            event_log::catch_up(records, loaded.durable());
        }
        let (ledger, ready) = loaded.prepare(clock.clone());
        let Some(records) = records else {
            let app = App::new(ledger, config, upstream);
            let counting = app.start_counting();
            return Ok(Self { app, ledger: ready.start()?, counting, recording: None });
        };
        let (recorder, records) = Recorder::start(records, clock);
        let silence_max = Span::from_seconds_f64(config.heartbeat_timeout_seconds);
        let (witness, watch) = Witness::start(ledger.clone(), recorder.clone(), silence_max);
        let (event_log, log) = EventLog::start(&ledger, recorder.clone(), events_per_second_max);
        let app = App::with_records(ledger, recorder, witness, event_log, config, upstream);
        let counting = app.start_counting();
        let ledger = ready.start()?;
        Ok(Self { app, ledger, counting, recording: Some(Recording { records, watch, log }) })
    }

    /// Asks the upstream who it is, if there is one, and follows its rule of CSRF tokens. An
    /// upstream that does not answer is no error: it may start later.
    ///
    /// # Errors
    /// If the upstream refuses this server's credentials, or is no Prefect server.
    pub async fn greet_upstream(&self) -> Result<(), UpstreamRefused> {
        let Some(upstream) = self.app.upstream() else { return Ok(()) };
        let greeting = upstream.greet().await?;
        if let Some(is_protected) = greeting.is_csrf_protected {
            self.app.gate().set_csrf_protected(is_protected);
        }
        Ok(())
    }

    /// The service that answers requests.
    pub fn service(&self) -> HttpService {
        HttpService::new(self.app.clone())
    }

    /// The handle that sends commands to the ledger.
    pub fn ledger(&self) -> &Handle {
        self.app.ledger()
    }

    /// Resolves when the ledger's thread has answered. A ledger that answers that its journal fails
    /// lives: a restart does not mend a journal.
    pub async fn heartbeat(&self) {
        let _answer = self.ledger().lease(LeaseId(0)).await;
    }

    /// Serves connections until `stop` resolves. Then waiting requests are answered, and the
    /// requests and WebSockets under way end.
    pub fn serve<F: Future<Output = ()>>(
        &self,
        listener: TcpListener,
        stop: F,
    ) -> impl Future<Output = ()> + use<F> {
        let (app, service) = (self.app.clone(), self.service());
        let close_log = self.recording.as_ref().map(|recording| recording.log.closer());
        async move {
            let bounds = Bounds {
                connections_max: app.config().connections_max,
                permits: app.connection_permits(),
                trusted_proxies: &app.config().trusted_proxies,
                clock: app.ledger().clock(),
                sockets: app.sockets(),
            };
            let stop = async {
                stop.await;
                tracing::info!("stopping");
                app.ledger().send_waiters_away();
                if let Some(close) = close_log {
                    close();
                }
            };
            serve::serve(listener, service, bounds, stop).await;
        }
    }

    /// Stops every component before those that it needs.
    pub async fn stop(self) {
        let Self { app, ledger, counting, recording } = self;
        counting.stop(app.figures(), app.recorder(), app.ledger().clock().now()).await;
        drop(app);
        let Some(Recording { records, watch, log }) = recording else {
            return ledger.stop().await;
        };
        watch.stop();
        ledger.stop().await;
        log.stop().await;
        // The thread ends with the last recorder. A connection that did not end in time may still
        // hold one.
        let stopped = tokio::task::spawn_blocking(|| records.stop());
        if tokio::time::timeout(RECORDING_STOP_TIMEOUT, stopped).await.is_err() {
            tracing::warn!("some runs may not have been recorded");
        }
    }
}
