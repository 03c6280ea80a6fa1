//! The server's options: each is a flag, a variable and a key of the file, and is declared once,
//! with its default and its range. The variables of a Prefect server stand below them, so that its
//! settings come along.

mod declared;
mod names;
mod ranges;
mod sources;

use std::env;
use std::path::{self, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use leasehold_journal::{Loss, Node, PostgresSettings};
use leasehold_records::Bounds;
use leasehold_server::{AllowedHost, Config};
use nix::unistd::gethostname;

use self::declared::Options;
pub(super) use self::declared::{Args, HELP};
use self::ranges::check_leases;
pub(super) use self::sources::OptionsError;
use self::sources::{Sources, project_dirs};
use super::journal::Place;
use super::log::{LogFormat, LogLevel};
use crate::commands::hostname;

/// Where a server has its data unless its options say otherwise.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    Some(project_dirs()?.data_local_dir().to_owned())
}

/// The options as the server uses them.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) data_dir: PathBuf,
    pub(super) journal: Place,
    /// Whether this server takes over from the one that runs on its data directory.
    pub(super) takes_over: bool,
    pub(super) log_format: LogFormat,
    pub(super) log_level: LogLevel,
    pub(super) server: Config,
    pub(super) records: Bounds,
    pub(super) events_per_second_max: u32,
    /// What is odd about the options, and no reason not to start.
    pub(super) warnings: Vec<String>,
}

/// Options that make no sense, and the format of the log that says so.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: OptionsError,
    pub(super) log_format: LogFormat,
}

impl Settings {
    /// Reads the file and the variables of a Prefect server, and checks all options. `cli` is the
    /// whole command line.
    pub(super) fn resolve(args: Args, cli: clap::Command) -> Result<Self, Refused> {
        let mut log_format = args.options.log_format;
        let loss = if args.accept_loss { Loss::Accept } else { Loss::Refuse };
        let refused = |error, log_format| Refused { error, log_format };
        let sources = Sources::read(args.config).map_err(|error| refused(error, log_format))?;
        if log_format == LogFormat::default() && sources.in_file("log-format") == Some("json") {
            log_format = LogFormat::Json;
        }
        let mut warnings = names::warnings(&cli);
        let options = sources
            .complete(args.options, cli)
            .and_then(|options| Self::new(options, &sources, loss))
            .map_err(|error| refused(error, log_format));
        options.map(|mut settings| {
            warnings.append(&mut settings.warnings);
            Self { warnings, takes_over: args.takeover, ..settings }
        })
    }

    fn new(options: Options, sources: &Sources, loss: Loss) -> Result<Self, OptionsError> {
        let journal = place_of(&options, loss, sources)?;
        let mut server = Config {
            allowed_hosts: names_of(sources, "allowed-hosts", &options.allowed_hosts, HOST)?,
            cors_origins: names_of(sources, "cors-origins", &options.cors_origins, ORIGIN)?,
            has_access_log: options.access_log,
            is_csrf_protected: options.csrf_protection,
            tag_wait_seconds: options.tag_wait_seconds,
            wait_seconds_max: options.wait_seconds_max,
            park_seconds: options.park_seconds,
            trusted_proxies: options.trusted_proxies.unwrap_or_default(),
            heartbeat_timeout_seconds: options.heartbeat_timeout_seconds,
            auth_string: options.auth_string,
            upstream: options.upstream,
            is_upstream_by_name: options.upstream_by_name,
            ..Config::default()
        };
        server.allowed_hosts.extend(names_of_this_machine(&options.host));
        let bodies = &mut server.bodies;
        bodies.page_size = options.page_size;
        bodies.lease_seconds_min = options.lease_seconds_min;
        bodies.lease_seconds_max = options.lease_seconds_max;
        bodies.lease_seconds_default = options.lease_seconds_default.unwrap_or_else(|| {
            // With the other two alone, the default must not be one that no client could ask for.
            let highest = bodies.lease_seconds_max.max(bodies.lease_seconds_min);
            bodies.lease_seconds_default.clamp(bodies.lease_seconds_min, highest)
        });
        check_leases(sources, &server)?;
        let warnings = match &server.auth_string {
            Some(text) if text.trim().is_empty() => {
                return Err(OptionsError::NoPassword(sources.of("auth-string")));
            }
            Some(text) => weak_password(text, sources),
            None => None,
        };
        Ok(Self {
            port: options.port,
            data_dir: match options.data_dir {
                // A whole path can be found again, wherever the server was started. It is not one
                // only if the working directory is gone.
                Some(data_dir) => path::absolute(&data_dir).unwrap_or(data_dir),
                None => default_data_dir().ok_or(OptionsError::NoDataDirectory)?,
            },
            journal,
            takes_over: false,
            log_format: options.log_format,
            log_level: options.log_level,
            server,
            records: Bounds {
                runs_max: options.records_max,
                events_max: options.events_max,
                client_events_max: options.client_events_max,
                events_bytes_max: options.events_bytes_max,
                age_seconds_max: options.records_age_seconds_max,
            },
            events_per_second_max: options.events_per_second_max,
            warnings: warnings.into_iter().collect(),
            host: options.host,
        })
    }
}

/// Where the journal is.
fn place_of(options: &Options, loss: Loss, sources: &Sources) -> Result<Place, OptionsError> {
    let Some(address) = &options.journal else { return Ok(Place::File(loss)) };
    let variable = |name: &str| env::var(name).ok();
    let password_file = options.journal_password_file.as_deref();
    let settings = PostgresSettings::read(address, password_file, variable)
        .map_err(|error| OptionsError::Journal { source_of: sources.of("journal"), error })?;
    let takeover = Duration::from_secs_f64(options.journal_takeover_seconds);
    Ok(Place::Postgres(Box::new((settings, Node { name: hostname(), takeover }))))
}

/// Prefect's own clients can send any text; a browser and `curl --user` send `user:password`.
fn weak_password(auth_string: &str, sources: &Sources) -> Option<String> {
    let source = sources.of("auth-string");
    match auth_string.split_once(':') {
        None => Some(format!(
            "{source} has no colon: clients of Prefect can log in with it, browsers and curl \
             cannot; give USER:PASSWORD"
        )),
        Some((_, "")) => Some(format!("{source} has an empty password; give USER:PASSWORD")),
        Some(_) => None,
    }
}

const HOST: &str = "a name such as limits.example, *.example or *";
const ORIGIN: &str = "an origin such as https://limits.example";

/// Several names; what is between two commas may be empty.
fn names_of<T: FromStr>(
    sources: &Sources,
    option: &str,
    given: &[String],
    expected: &'static str,
) -> Result<Vec<T>, OptionsError> {
    let given = given.iter().map(|value| value.trim()).filter(|value| !value.is_empty());
    let read = given.map(|value| {
        value.parse().map_err(|_| OptionsError::NoName {
            source_of: sources.of(option),
            value: value.to_owned(),
            expected,
        })
    });
    read.collect()
}

/// What people on the same network call this machine, and the name that it listens on.
fn names_of_this_machine(host: &str) -> Vec<AllowedHost> {
    let name = gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let short = name.split('.').next().unwrap_or_default();
    let names = [host, &name, short, &format!("{short}.local")];
    // `*` is no name of a machine.
    let names = names.into_iter().filter(|name| !name.starts_with('*'));
    names.filter_map(|name| name.parse().ok()).collect()
}
