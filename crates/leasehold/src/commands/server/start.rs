//! `leasehold server start`.

use std::error::Error;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::process::ExitCode;
use std::time::Duration;

use leasehold_journal::{DatabaseError, LoadError, Loss, OpenError, PostgresError};
use leasehold_node::{Clock, chain};
use leasehold_records::Records;
use leasehold_server::config::CONNECTIONS_MAX;
use leasehold_server::{Config, NoTls, Options, Server, UpstreamRefused};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::announce::Started;
use super::descriptors;
use super::journal::{self, Owned, Place, tokio_listener};
use super::log::{self, LogFormat};
use super::options::Settings;
use super::service_manager;
use super::takeover::{self, Offer, Successor, TakeoverError};
use crate::exit::Exit;

/// Why the server did not start, each with what to do about it. The causes stand before the
/// advice, so that they are no sources of their own.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{}; {}", chain(.0), journal_advice(.0))]
    Journal(OpenError),
    #[error("{}; {}", chain(.0), journal::advice(.0))]
    Postgres(PostgresError),
    #[error("{}; {}", chain(.0), records_advice(.0))]
    Records(DatabaseError),
    #[error("{}; {}", chain(.0), load_advice(.0))]
    Load(LoadError),
    #[error("{host}:{port} cannot be listened on: {error}; {}", listen_advice(.error))]
    Listen { host: String, port: u16, error: io::Error },
    #[error("the service manager's socket cannot be used: {0}; pass one TCP socket that listens")]
    Passed(io::Error),
    #[error("{0}; stop that server, and start this one without --takeover")]
    Takeover(#[from] TakeoverError),
    #[error(transparent)]
    Upstream(#[from] UpstreamRefused),
    #[error(transparent)]
    Tls(NoTls),
    #[error("the runtime failed")]
    Runtime(#[from] io::Error),
}

const MAKE_ROOM: &str = "make room on its disk, or choose another directory with --data-dir";
const RESTORE: &str = "restore it from a backup, or choose another directory with --data-dir";
/// The file of the phantoms that an operator dropped, beside the journal.
const DROPPED_PHANTOMS: &str = "dropped-phantoms.json";
/// How often, and after which pauses, a successor tries to open the data of a server that ended.
/// The system may release them a moment after it has closed that server's connections.
const LET_GO_TRIES: u32 = 50;
const LET_GO_PAUSE: Duration = Duration::from_millis(100);

fn journal_advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::Database(DatabaseError::Foreign { .. }) => {
            "choose another directory with --data-dir"
        }
        OpenError::Database(error) => database_advice(error, RESTORE),
        OpenError::Locked { .. } => "stop that server, or choose another directory with --data-dir",
        OpenError::Lost { .. } | OpenError::Unknown { .. } => {
            "put back what is missing, or start once with --accept-loss: what was acknowledged since \
             is lost then, and its holders have to be looked after"
        }
        _ => RESTORE,
    }
}

fn directory_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => MAKE_ROOM,
        _ => "make it writable, or choose another directory with --data-dir",
    }
}

fn load_advice(error: &LoadError) -> &'static str {
    match error {
        LoadError::Full => MAKE_ROOM,
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

fn records_advice(error: &DatabaseError) -> &'static str {
    database_advice(error, "move the file away: limits and leases are not in it")
}

fn database_advice(error: &DatabaseError, otherwise: &'static str) -> &'static str {
    match error {
        DatabaseError::Directory { source, .. } => directory_advice(source),
        DatabaseError::Newer { .. } => "use the version that wrote it, or a newer one",
        DatabaseError::Busy { .. } => "close it there, and start again",
        _ => otherwise,
    }
}

impl From<leasehold_server::StartError> for StartError {
    fn from(error: leasehold_server::StartError) -> Self {
        match error {
            leasehold_server::StartError::Load(error) => Self::Load(error),
            leasehold_server::StartError::Tls(error) => Self::Tls(error),
            error => Self::Runtime(io::Error::other(error)),
        }
    }
}

impl StartError {
    fn exit(&self) -> Exit {
        match self {
            Self::Journal(OpenError::Database(error)) | Self::Records(error) => match error {
                DatabaseError::Directory { .. } => Exit::CannotCreate,
                DatabaseError::Busy { .. } => Exit::Busy,
                DatabaseError::Newer { .. } => Exit::Newer,
                _ => Exit::Data,
            },
            Self::Postgres(error) => error.into(),
            Self::Load(LoadError::Full) => Exit::CannotCreate,
            Self::Journal(OpenError::Locked { .. }) => Exit::Busy,
            Self::Journal(_) | Self::Load(_) => Exit::Data,
            Self::Listen { .. } | Self::Passed(_) => Exit::Unavailable,
            Self::Takeover(_) => Exit::Busy,
            Self::Upstream(_) | Self::Tls(_) => Exit::Config,
            Self::Runtime(_) => Exit::Software,
        }
    }
}

pub(super) fn run(settings: Settings) -> ExitCode {
    let log_format = settings.log_format;
    log::start(log_format, settings.log_level);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, Exit::Software, log_format),
    };
    let result = runtime.block_on(serve_until_stopped(settings));
    // What still runs are connections that did not end in time.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit(), log_format),
    }
}

/// Says in one line why the server does not run.
pub(super) fn fail(error: &dyn Error, exit: Exit, log_format: LogFormat) -> ExitCode {
    let line = chain(error).replace('\n', " ");
    log::say_error(log_format, line.trim_end());
    exit.into()
}

/// The signals that would end the process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves when the server has to stop. SIGHUP does not stop it: a closed terminal sends it,
    /// and so do tools that expect a program to read its options again.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                biased;
                hangup = self.hangup.recv() => match hangup {
                    Some(()) => tracing::info!(
                        "SIGHUP changes nothing: options are read at the start alone"
                    ),
                    None => return,
                },
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
            }
        }
    }
}

async fn serve_until_stopped(settings: Settings) -> Result<(), StartError> {
    // Signals first: from here on none of them ends the server but cleanly.
    let mut signals = Signals::catch()?;
    let inherited = tokio::select! {
        biased;
        () = signals.stop() => return Ok(()),
        inherited = inherit(&settings) => inherited?,
    };
    let mut journal = None;
    if let Place::File(loss) = settings.journal {
        let owned = open_file(&settings, loss, inherited.is_some()).await?;
        journal = Some((owned, open_records(&settings)?));
    }
    let listener = match inherited {
        Some(listener) => listener,
        None => listen(&settings).await?,
    };
    let bounds = connection_bounds();
    let address = listener.local_addr()?;
    if let Some(itself) = settings.server.upstream.as_ref().filter(|url| url.leads_to(address)) {
        return Err(UpstreamRefused::Ourselves(itself.to_string()).into());
    }
    let started =
        Started { settings: &settings, address, connections_max: bounds.0, waiters_max: bounds.1 };
    let mut ended = Ended::Stopped;
    if let Some((owned, records)) = journal {
        ended =
            serve(&settings, owned, records, listener, bounds, Some(started), &mut signals).await?;
    } else if let Place::Postgres(place) = &settings.journal {
        let mut started = Some(started);
        loop {
            let (database, mut node) = (**place).clone();
            node.name = format!("{} {address}", node.name);
            let standby = || {
                if let Some(started) = started.take() {
                    started.announce();
                }
            };
            let owned = Owned::postgres((database, node), &listener, standby, signals.stop());
            let owned = tokio::select! {
                owned = owned => owned.map_err(StartError::Postgres)?,
                never = service_manager::pulse(None) => match never {},
            };
            let Some(owned) = owned else { break };
            let records = open_records(&settings)?;
            let announcing = started.take();
            let socket = listener.try_clone()?;
            ended =
                serve(&settings, owned, records, socket, bounds, announcing, &mut signals).await?;
            match ended {
                Ended::Stopped | Ended::Succeeded(_) => break,
                Ended::Deposed => tracing::error!("another node has taken the ledger over"),
            }
        }
    }
    tracing::info!("stopped");
    // From here on a successor may use the data.
    drop(ended);
    Ok(())
}

/// The socket of the service manager, or that of the server before this one, which has stopped.
async fn inherit(settings: &Settings) -> Result<Option<StdTcpListener>, StartError> {
    if let Some(passed) = service_manager::socket().map_err(StartError::Passed)? {
        return Ok(Some(passed));
    }
    if !settings.takes_over {
        return Ok(None);
    }
    let data_dir = settings.data_dir.clone();
    let taken = tokio::task::spawn_blocking(move || takeover::take_over(&data_dir)).await;
    let taken = taken.map_err(io::Error::other)??;
    if taken.is_none() {
        tracing::info!("no server runs that could be taken over from");
    }
    Ok(taken)
}

async fn listen(settings: &Settings) -> Result<StdTcpListener, StartError> {
    let (host, port) = (settings.host.clone(), settings.port);
    TcpListener::bind((host.as_str(), port))
        .await
        .and_then(TcpListener::into_std)
        .map_err(|error| StartError::Listen { host, port, error })
}

/// Opens the journal in the data directory, which the server before this one may just have let go.
async fn open_file(
    settings: &Settings,
    loss: Loss,
    has_predecessor: bool,
) -> Result<Owned, StartError> {
    let mut tries = if has_predecessor { LET_GO_TRIES } else { 1 };
    loop {
        tries -= 1;
        match Owned::file(&settings.data_dir, loss) {
            Err(OpenError::Locked { .. }) if tries > 0 => tokio::time::sleep(LET_GO_PAUSE).await,
            opened => return opened.map_err(StartError::Journal),
        }
    }
}

/// Why a server serves no longer.
#[derive(Debug)]
enum Ended {
    Stopped,
    /// Another process takes over its socket and its data. It waits until this is dropped.
    Succeeded(#[expect(dead_code, reason = "dropping it is its purpose")] Successor),
    /// Another node owns the ledger.
    Deposed,
}

fn open_records(settings: &Settings) -> Result<Records, StartError> {
    Records::open(&settings.data_dir, settings.records).map_err(StartError::Records)
}

/// How many connections are served, and how many requests wait.
fn connection_bounds() -> (usize, usize) {
    let connections_max = descriptors::connections_max(descriptors::raise());
    let waiters_max = Config::waiters_max(connections_max);
    if connections_max < CONNECTIONS_MAX {
        tracing::warn!(
            connections_max,
            waiters_max,
            "few files may be open at once; more connections are served with a higher `ulimit -n`"
        );
    }
    (connections_max, waiters_max)
}

/// Serves with a journal that this server owns, until it is stopped or loses it.
async fn serve(
    settings: &Settings,
    owned: Owned,
    records: Records,
    listener: StdTcpListener,
    (connections_max, waiters_max): (usize, usize),
    started: Option<Started<'_>>,
    signals: &mut Signals,
) -> Result<Ended, StartError> {
    let lost = owned.lost();
    let config = Config {
        waiters_max,
        connections_max,
        dropped_phantoms_file: Some(settings.data_dir.join(DROPPED_PHANTOMS)),
        tenure: owned.tenure.clone(),
        ..settings.server.clone()
    };
    let options = Options {
        config,
        records: Some(records),
        events_per_second_max: settings.events_per_second_max,
        clock: Clock::system(),
    };
    let server = Server::start(owned.journal, options)?;
    if let Err(refused) = server.greet_upstream().await {
        server.stop().await;
        return Err(refused.into());
    }
    let offer = Offer::new(&settings.data_dir)
        .inspect_err(|error| tracing::warn!(%error, "no other server can take over from this one"));
    if let Some(started) = started {
        started.announce();
    }
    let mut ended = Ended::Stopped;
    let socket = tokio_listener(&listener)?;
    let stop = async {
        tokio::select! {
            () = signals.stop() => {}
            () = lost => ended = Ended::Deposed,
            successor = taken(offer.ok(), &listener) => {
                tracing::info!("another process takes over");
                ended = Ended::Succeeded(successor);
            }
        }
        service_manager::stopping();
        // Nothing is accepted here any more.
        drop(listener);
    };
    tokio::select! {
        () = server.serve(socket, stop) => {}
        never = service_manager::pulse(Some(&server)) => match never {},
    }
    server.stop().await;
    Ok(ended)
}

async fn taken(offer: Option<Offer>, socket: &StdTcpListener) -> Successor {
    match offer {
        Some(offer) => offer.taken(socket).await,
        None => std::future::pending().await,
    }
}
