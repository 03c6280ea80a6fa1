//! `leasehold server start`.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use leasehold_journal::{LoadError, OpenError, SqliteJournal};
use leasehold_records::Records;
use leasehold_server::coordinator::{self, chain};
use leasehold_server::event_log::{self, EventLog};
use leasehold_server::evidence::{Span, Witness};
use leasehold_server::records::{Recorder, RunningRecorder};
use leasehold_server::{App, Clock, Config, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use super::descriptors;
use super::options::{LogFormat, LogLevel, Settings};
use crate::exit::Exit;

/// How long the records may take to be durable when the server stops.
const RECORDING_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the server did not start, each with what to do about it. The causes stand before the
/// advice, so that they are no sources of their own.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{}; {}", chain(.0), journal_advice(.0))]
    Journal(OpenError),
    #[error("{}; {}", chain(.0), records_advice(.0))]
    Records(leasehold_records::OpenError),
    #[error("{}; {RESTORE}", chain(.0))]
    Load(LoadError),
    #[error("{host}:{port} cannot be listened on: {error}; {}", listen_advice(.error))]
    Listen { host: String, port: u16, error: io::Error },
    #[error("the runtime failed")]
    Runtime(#[from] io::Error),
}

const RESTORE: &str = "restore it from a backup, or choose another directory with --data-dir";

fn journal_advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::Directory { .. } => {
            "make it writable, or choose another directory with --data-dir"
        }
        OpenError::Locked { .. } => "stop that server, or choose another directory with --data-dir",
        OpenError::Newer { .. } => "use the version that wrote it, or a newer one",
        OpenError::Foreign { .. } => "choose another directory with --data-dir",
        _ => RESTORE,
    }
}

fn listen_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop what uses it, or choose another with --port",
        io::ErrorKind::PermissionDenied => "choose a port above 1023 with --port",
        _ => "choose an address of this machine with --host",
    }
}

fn records_advice(error: &leasehold_records::OpenError) -> &'static str {
    use leasehold_records::OpenError;
    match error {
        OpenError::Directory { .. } => "make it writable, or choose another with --data-dir",
        OpenError::Newer { .. } => "use the version that wrote them, or a newer one",
        _ => "move the file away: limits and leases are not in it",
    }
}

impl StartError {
    fn exit(&self) -> Exit {
        match self {
            Self::Journal(OpenError::Directory { .. }) => Exit::CannotCreate,
            Self::Journal(OpenError::Locked { .. }) => Exit::Busy,
            Self::Journal(OpenError::Newer { .. }) => Exit::Newer,
            Self::Journal(_) | Self::Load(_) => Exit::Data,
            Self::Records(leasehold_records::OpenError::Directory { .. }) => Exit::CannotCreate,
            Self::Records(leasehold_records::OpenError::Newer { .. }) => Exit::Newer,
            Self::Records(_) => Exit::Data,
            Self::Listen { .. } => Exit::Unavailable,
            Self::Runtime(_) => Exit::Software,
        }
    }
}

pub(super) fn run(settings: Settings) -> ExitCode {
    start_logging(settings.log_format, settings.log_level);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, Exit::Software),
    };
    let result = runtime.block_on(serve_until_stopped(settings));
    // What still runs are connections that did not end in time.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit()),
    }
}

/// Says in one line why the server does not run.
pub(super) fn fail(error: &dyn Error, exit: Exit) -> ExitCode {
    let line = chain(error).replace('\n', " ");
    eprintln!("error: {}", line.trim_end());
    exit.into()
}

async fn serve_until_stopped(settings: Settings) -> Result<(), StartError> {
    // Signals first: from here on every one of them stops the server cleanly.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let journal = SqliteJournal::open(&settings.data_dir).map_err(StartError::Journal)?;
    let mut records =
        Records::open(&settings.data_dir, settings.records).map_err(StartError::Records)?;
    let (host, port) = (settings.host.clone(), settings.port);
    let listener = TcpListener::bind((host.as_str(), port))
        .await
        .map_err(|error| StartError::Listen { host, port, error })?;
    let address = listener.local_addr()?;

    let loaded = coordinator::load(journal).map_err(StartError::Load)?;
    event_log::catch_up(&mut records, loaded.durable());
    let (ledger, ready) = loaded.prepare(Clock::system());
    let waiters = ledger.clone();
    let (recorder, recording) = Recorder::start(records, ledger.clock().clone());
    let silence_max = Span::from_seconds_f64(settings.server.heartbeat_timeout_seconds);
    let (witness, watch) = Witness::start(ledger.clone(), recorder.clone(), silence_max);
    let (event_log, logging) =
        EventLog::start(&ledger, recorder.clone(), settings.events_per_second_max);
    let running = ready.start()?;
    let connections_max = descriptors::connections_max(descriptors::raise());
    let waiters_max = Config::waiters_max(connections_max);
    if connections_max < serve::CONNECTIONS_MAX {
        tracing::warn!(
            connections_max,
            waiters_max,
            "few files may be open at once; more connections are served with a higher `ulimit -n`"
        );
    }
    let config = Config { waiters_max, ..settings.server.clone() };
    let app = App::with_records(ledger, recorder, witness, event_log, config);
    announce(&settings, address);

    serve::serve(listener, app.into_service(), connections_max, async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        waiters.send_waiters_away();
        logging.close();
    })
    .await;
    watch.stop();
    running.stop().await;
    logging.stop().await;
    stop_recording(recording).await;
    tracing::info!("stopped");
    Ok(())
}

/// Connections that did not end in time may still hold the recorder; they wait for nothing.
async fn stop_recording(recording: RunningRecorder) {
    let stopped = tokio::task::spawn_blocking(|| recording.stop());
    if tokio::time::timeout(RECORDING_STOP_TIMEOUT, stopped).await.is_err() {
        tracing::warn!("some runs may not have been recorded");
    }
}

/// Tells where it listens and where its data is, on standard output.
fn announce(settings: &Settings, address: SocketAddr) {
    let base = format!("http://{address}");
    let data = settings.data_dir.display();
    let announcement = match settings.log_format {
        LogFormat::Json => serde_json::json!({
            "api_url": format!("{base}/api"),
            "docs_url": format!("{base}/docs"),
            "data_dir": data.to_string(),
        })
        .to_string(),
        LogFormat::Text => format!(
            "Leasehold {} is listening.\n\n  API   {base}/api\n  Docs  {base}/docs\n  \
             Data  {data}\n\nClients of Prefect use it with\n\n  export \
             PREFECT_API_URL={base}/api\n\nStop it with Ctrl-C.",
            env!("CARGO_PKG_VERSION"),
        ),
    };
    // Nobody there to read it is no reason not to serve.
    let _ = writeln!(io::stdout(), "{announcement}");
}

fn start_logging(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let has_colors =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let logs = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(level)
        .with_ansi(has_colors)
        .with_target(false);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}
