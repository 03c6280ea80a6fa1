//! The server's options, from flags, environment and file, in this order of precedence; below
//! them the variables of a Prefect server, so that its settings come along.

mod ranges;
mod sources;
mod variables;

use std::path::{self, PathBuf};
use std::str::FromStr;

use clap::builder::NonEmptyStringValueParser;
use directories::ProjectDirs;
use leasehold_journal::Loss;
use leasehold_server::AllowedHost;
use leasehold_server::peer::TrustedProxies;
use nix::unistd::gethostname;
use serde::Deserialize;

pub(super) use self::sources::OptionsError;
use self::sources::Sources;
use super::log::{LogFormat, LogLevel};

/// Enough for a person to follow, and a hundredth of what a limit can grant.
const EVENTS_PER_SECOND_MAX_DEFAULT: u32 = 1_000;

pub(super) const HELP: &str = "\
Every option is also a key of the TOML file, with `_` for `-`:

  port = 4200
  lease_seconds_min = 5
  auth_string = \"admin:secret\"

A flag wins over its variable, and the variable over the file. Where none of
them is set, the variables of a Prefect server are honoured. An empty variable
is as good as none.

  --page-size         PREFECT_SERVER_API_DEFAULT_LIMIT
  --auth-string       PREFECT_SERVER_API_AUTH_STRING
  --csrf-protection   PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED
  --tag-wait-seconds  PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS
  --wait-seconds-max
      PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS

Exit codes:
   0  stopped as asked, by Ctrl-C or SIGTERM
  64  the command line is wrong
  65  the journal is damaged, is no journal, or holds less than was acknowledged
  69  the address cannot be listened on
  73  the data directory cannot be written
  75  another server, or another program, uses the same data
  76  a newer version wrote the journal
  78  the file or a variable is wrong

Examples:
  leasehold server start
  leasehold server start --port 0 --data-dir ./data
  leasehold server start --host 0.0.0.0 --auth-string admin:secret
  LEASEHOLD_LOG_FORMAT=json leasehold server start";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A TOML file with further options [default: config.toml in the platform's configuration
    /// directory, if it is there].
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_CONFIG")]
    config: Option<PathBuf>,
    /// Start though the journal holds less than was acknowledged: what is missing stays lost. A flag
    /// alone, for one start.
    #[arg(long)]
    accept_loss: bool,
    #[command(flatten)]
    options: Options,
}

/// Everything that can be set, by a flag, a variable or the file alike.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The address to listen on [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS", env = "LEASEHOLD_HOST")]
    host: Option<String>,
    /// The port to listen on; 0 picks one and prints it [default: 4200].
    #[arg(long, value_name = "PORT", env = "LEASEHOLD_PORT")]
    port: Option<u16>,
    /// Where everything is kept [default: the platform's data directory].
    #[arg(long, value_name = "DIR", env = "LEASEHOLD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// How the log looks, which goes to standard error [default: text].
    #[arg(long, value_name = "FORMAT", env = "LEASEHOLD_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// How much is logged [default: info].
    #[arg(long, value_name = "LEVEL", env = "LEASEHOLD_LOG_LEVEL")]
    log_level: Option<LogLevel>,
    /// Whether each request is a line of the log, with its client, its lease and its limits; at the
    /// level `debug` each is in any case [default: false].
    #[arg(
        long,
        value_name = "BOOL",
        env = "LEASEHOLD_ACCESS_LOG",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    access_log: Option<bool>,
    /// The shortest lease that clients of Prefect may ask for, in seconds; others, at /api/leases,
    /// may ask for one second [default: 60].
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_LEASE_SECONDS_MIN")]
    lease_seconds_min: Option<f64>,
    /// The lease of a client of Prefect that names no length, in seconds; others, at /api/leases,
    /// get 60 [default: 300].
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_LEASE_SECONDS_DEFAULT")]
    lease_seconds_default: Option<f64>,
    /// The longest lease anybody may ask for, in seconds [default: 86400].
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_LEASE_SECONDS_MAX")]
    lease_seconds_max: Option<f64>,
    /// The most results that a list has at once [default: 200].
    #[arg(long, value_name = "COUNT", env = "LEASEHOLD_PAGE_SIZE")]
    page_size: Option<u64>,
    /// What clients must authenticate with [default: none].
    #[arg(
        long,
        value_name = "USER:PASSWORD",
        env = "LEASEHOLD_AUTH_STRING",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    auth_string: Option<String>,
    /// Names by which browsers may address the server, with commas between them: `name`, `*.name`,
    /// or `*` for all; programs may use any name [default: localhost, addresses, and this machine's
    /// name].
    #[arg(
        long,
        value_name = "NAMES",
        env = "LEASEHOLD_ALLOWED_HOSTS",
        value_delimiter = ',',
        num_args = 1
    )]
    allowed_hosts: Option<Vec<String>>,
    /// Origins whose pages may read and write here from a browser, with commas between them, such
    /// as `https://limits.example` [default: none].
    #[arg(
        long,
        value_name = "ORIGINS",
        env = "LEASEHOLD_CORS_ORIGINS",
        value_delimiter = ',',
        num_args = 1
    )]
    cors_origins: Option<Vec<String>>,
    /// Whether writes need a CSRF token [default: false].
    #[arg(
        long,
        value_name = "BOOL",
        env = "LEASEHOLD_CSRF_PROTECTION",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    csrf_protection: Option<bool>,
    /// The longest Retry-After of limits of tags, in seconds [default: 10].
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_TAG_WAIT_SECONDS")]
    tag_wait_seconds: Option<f64>,
    /// The longest Retry-After of other limits, in seconds [default: 30].
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_WAIT_SECONDS_MAX")]
    wait_seconds_max: Option<f64>,
    /// How long a request that comes back is held open, in seconds; 0 lets clients poll
    /// [default: 20].
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_PARK_SECONDS")]
    park_seconds: Option<f64>,
    /// The reverse proxies that are believed when they say in X-Forwarded-For or Forwarded where a
    /// request comes from: addresses and networks with commas between, or none
    /// [default: 127.0.0.0/8,::1].
    #[arg(long, value_name = "ADDRESSES", env = "LEASEHOLD_TRUSTED_PROXIES")]
    trusted_proxies: Option<TrustedProxies>,
    /// How long a flow run may be silent that gave signs of life, in seconds; then what its task
    /// runs hold is taken, where they cannot renew [default: 540, thrice the client's interval].
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_HEARTBEAT_TIMEOUT_SECONDS")]
    heartbeat_timeout_seconds: Option<f64>,
    /// How many flow runs and task runs are recorded at the most [default: 50000].
    #[arg(long, value_name = "COUNT", env = "LEASEHOLD_RECORDS_MAX")]
    records_max: Option<u64>,
    /// How many events of limits and leases are kept at the most [default: 100000].
    #[arg(long, value_name = "COUNT", env = "LEASEHOLD_EVENTS_MAX")]
    events_max: Option<u64>,
    /// How many events that clients send are kept at the most [default: 100000].
    #[arg(long, value_name = "COUNT", env = "LEASEHOLD_CLIENT_EVENTS_MAX")]
    client_events_max: Option<u64>,
    /// How many bytes all events have at the most, half of them for those of clients
    /// [default: 536870912].
    #[arg(long, value_name = "BYTES", env = "LEASEHOLD_EVENTS_BYTES_MAX")]
    events_bytes_max: Option<u64>,
    /// How many routine events are logged each second at the most: grants, releases, late renewals,
    /// and who joins and leaves the line; 0 logs all of them [default: 1000].
    #[arg(long, value_name = "COUNT", env = "LEASEHOLD_EVENTS_PER_SECOND_MAX")]
    events_per_second_max: Option<u32>,
    /// How long a run is recorded after it last changed, and an event after it happened, in seconds
    /// [default: 604800, a week].
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_RECORDS_AGE_SECONDS_MAX")]
    records_age_seconds_max: Option<u64>,
}

/// The options as they are in the end.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) data_dir: PathBuf,
    /// What to do about a journal that holds less than was acknowledged.
    pub(super) loss: Loss,
    pub(super) log_format: LogFormat,
    pub(super) log_level: LogLevel,
    pub(super) server: leasehold_server::Config,
    pub(super) records: leasehold_records::Bounds,
    pub(super) events_per_second_max: u32,
    /// What is odd about the environment, and no reason not to start.
    pub(super) warnings: Vec<String>,
}

/// Options that make no sense, and how the log would have looked.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: OptionsError,
    pub(super) log_format: LogFormat,
}

impl Settings {
    pub(super) fn resolve(args: Args) -> Result<Self, Refused> {
        let mut log_format = args.options.log_format;
        Self::read(args, &mut log_format)
            .map_err(|error| Refused { error, log_format: log_format.unwrap_or_default() })
    }

    fn read(args: Args, log_format: &mut Option<LogFormat>) -> Result<Self, OptionsError> {
        let sources = Sources::read(args.config)?;
        let options = args.options.or(sources.options()?);
        *log_format = options.log_format;
        let options = options.or(variables::of_prefect()?);
        let mut server = leasehold_server::Config::default();
        let bodies = &mut server.bodies;
        bodies.lease_seconds_min = options.lease_seconds_min.unwrap_or(bodies.lease_seconds_min);
        bodies.lease_seconds_max = options.lease_seconds_max.unwrap_or(bodies.lease_seconds_max);
        bodies.lease_seconds_default = options.lease_seconds_default.unwrap_or_else(|| {
            // Bounds alone must not make the default one that no client could ask for.
            let highest = bodies.lease_seconds_max.max(bodies.lease_seconds_min);
            bodies.lease_seconds_default.clamp(bodies.lease_seconds_min.min(highest), highest)
        });
        bodies.page_size = options.page_size.unwrap_or(bodies.page_size);
        if options.auth_string.as_ref().is_some_and(|auth_string| auth_string.trim().is_empty()) {
            return Err(OptionsError::NoPassword(sources.of("auth-string")));
        }
        server.auth_string = options.auth_string;
        server.cors_origins = names(&sources, "cors-origins", options.cors_origins, ORIGIN)?;
        server.allowed_hosts = names(&sources, "allowed-hosts", options.allowed_hosts, HOST)?;
        server.allowed_hosts.extend(names_of_this_machine(options.host.as_deref()));
        server.has_access_log = options.access_log.unwrap_or(server.has_access_log);
        server.is_csrf_protected = options.csrf_protection.unwrap_or(server.is_csrf_protected);
        server.tag_wait_seconds = options.tag_wait_seconds.unwrap_or(server.tag_wait_seconds);
        server.wait_seconds_max = options.wait_seconds_max.unwrap_or(server.wait_seconds_max);
        server.park_seconds = options.park_seconds.unwrap_or(server.park_seconds);
        server.trusted_proxies = options.trusted_proxies.unwrap_or(server.trusted_proxies);
        server.heartbeat_timeout_seconds =
            options.heartbeat_timeout_seconds.unwrap_or(server.heartbeat_timeout_seconds);
        let mut records = leasehold_records::Bounds::default();
        records.runs_max = options.records_max.unwrap_or(records.runs_max);
        records.events_max = options.events_max.unwrap_or(records.events_max);
        records.client_events_max = options.client_events_max.unwrap_or(records.client_events_max);
        records.events_bytes_max = options.events_bytes_max.unwrap_or(records.events_bytes_max);
        records.age_seconds_max =
            options.records_age_seconds_max.unwrap_or(records.age_seconds_max);
        ranges::check(&sources, &server, records)?;
        Ok(Self {
            host: options.host.unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: options.port.unwrap_or(4200),
            data_dir: match options.data_dir {
                // As a whole path it can be found again, wherever this was started. It is not
                // one only if the working directory is gone.
                Some(data_dir) => path::absolute(&data_dir).unwrap_or(data_dir),
                None => project_dirs()?.data_local_dir().to_owned(),
            },
            loss: if args.accept_loss { Loss::Accept } else { Loss::Refuse },
            log_format: options.log_format.unwrap_or_default(),
            log_level: options.log_level.unwrap_or_default(),
            server,
            records,
            events_per_second_max: options
                .events_per_second_max
                .unwrap_or(EVENTS_PER_SECOND_MAX_DEFAULT),
            warnings: variables::warnings(),
        })
    }
}

impl Options {
    fn or(self, other: Self) -> Self {
        Self {
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            data_dir: self.data_dir.or(other.data_dir),
            log_format: self.log_format.or(other.log_format),
            log_level: self.log_level.or(other.log_level),
            access_log: self.access_log.or(other.access_log),
            lease_seconds_min: self.lease_seconds_min.or(other.lease_seconds_min),
            lease_seconds_default: self.lease_seconds_default.or(other.lease_seconds_default),
            lease_seconds_max: self.lease_seconds_max.or(other.lease_seconds_max),
            page_size: self.page_size.or(other.page_size),
            auth_string: self.auth_string.or(other.auth_string),
            allowed_hosts: self.allowed_hosts.or(other.allowed_hosts),
            cors_origins: self.cors_origins.or(other.cors_origins),
            csrf_protection: self.csrf_protection.or(other.csrf_protection),
            tag_wait_seconds: self.tag_wait_seconds.or(other.tag_wait_seconds),
            wait_seconds_max: self.wait_seconds_max.or(other.wait_seconds_max),
            park_seconds: self.park_seconds.or(other.park_seconds),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            heartbeat_timeout_seconds: self
                .heartbeat_timeout_seconds
                .or(other.heartbeat_timeout_seconds),
            records_max: self.records_max.or(other.records_max),
            events_max: self.events_max.or(other.events_max),
            client_events_max: self.client_events_max.or(other.client_events_max),
            events_bytes_max: self.events_bytes_max.or(other.events_bytes_max),
            events_per_second_max: self.events_per_second_max.or(other.events_per_second_max),
            records_age_seconds_max: self.records_age_seconds_max.or(other.records_age_seconds_max),
        }
    }
}

const HOST: &str = "a name such as limits.example, *.example or *";
const ORIGIN: &str = "an origin such as https://limits.example";

/// Several names; what is between two commas may be empty.
fn names<T: FromStr>(
    sources: &Sources,
    option: &'static str,
    given: Option<Vec<String>>,
    expected: &'static str,
) -> Result<Vec<T>, OptionsError> {
    let given = given.unwrap_or_default();
    let named = given.iter().map(|value| value.trim()).filter(|value| !value.is_empty());
    named
        .map(|value| {
            value.parse().map_err(|_| {
                let (source_of, value) = (sources.of(option), value.to_owned());
                OptionsError::NoName { source_of, value, expected }
            })
        })
        .collect()
}

/// What people on the same network call this machine, and the name that it was told to listen on.
fn names_of_this_machine(host: Option<&str>) -> Vec<AllowedHost> {
    let name = gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let short = name.split('.').next().unwrap_or_default();
    let names = [host.unwrap_or_default(), &name, short, &format!("{short}.local")];
    // `*` is no name of a machine.
    let names = names.into_iter().filter(|name| !name.starts_with('*'));
    names.filter_map(|name| name.parse().ok()).collect()
}

fn project_dirs() -> Result<ProjectDirs, OptionsError> {
    ProjectDirs::from("", "", "leasehold").ok_or(OptionsError::NoDataDirectory)
}
