//! The server's options, from flags, environment and file, in this order of precedence; below
//! them the variables of a Prefect server, so that its settings come along.

use std::env;
use std::fs;
use std::io;
use std::path::{self, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use directories::ProjectDirs;
use leasehold_server::AllowedHost;
use nix::unistd::gethostname;
use serde::Deserialize;

use crate::args::is_given;
use crate::exit::Exit;

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
  65  the journal is damaged, or is no journal
  69  the address cannot be listened on
  73  the data directory cannot be written
  75  another server runs on the same data
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
        hide_env_values = true
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The options as they are in the end.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) data_dir: PathBuf,
    pub(super) log_format: LogFormat,
    pub(super) log_level: LogLevel,
    pub(super) server: leasehold_server::Config,
    pub(super) records: leasehold_records::Bounds,
    pub(super) events_per_second_max: u32,
}

/// Why the options make no sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum OptionsError {
    #[error("the file {} cannot be read: {error}; make it readable, or name another with --config", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the file {} is wrong in line {line}: {message}", path.display())]
    Malformed { path: PathBuf, line: usize, message: String },
    #[error("the variable {name} is wrong: '{value}' is not {expected}")]
    Variable { name: &'static str, value: String, expected: &'static str },
    #[error("the variable {name} is wrong: it is no UTF-8")]
    NotText { name: &'static str },
    #[error("--{option} is {value}, which must be {expected}")]
    OutOfRange { option: &'static str, value: String, expected: String },
    #[error("--{option} has '{value}', which is not {expected}")]
    NoName { option: &'static str, value: String, expected: &'static str },
    #[error("there is no data directory on this platform; set one with --data-dir")]
    NoDataDirectory,
}

/// Those that bound each other: any of them may be the one that is wrong.
const LEASE_SECONDS: [&str; 3] =
    ["lease-seconds-min", "lease-seconds-default", "lease-seconds-max"];

impl OptionsError {
    /// Whoever reads the code looks at the command line first, if the wrong value stands there.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::NoName { option, .. } if is_given(option) => Exit::Usage,
            Self::OutOfRange { option, .. } => {
                let is_bound = LEASE_SECONDS.contains(option);
                let may_be_wrong = if is_bound { &LEASE_SECONDS[..] } else { &[*option] };
                let is_flag = may_be_wrong.iter().any(|option| is_given(option));
                if is_flag { Exit::Usage } else { Exit::Config }
            }
            _ => Exit::Config,
        }
    }
}

impl Settings {
    pub(super) fn resolve(args: Args) -> Result<Self, OptionsError> {
        let file = read_file(args.config)?;
        let options = args.options.or(file).or(prefect_variables()?);
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
        server.auth_string = options.auth_string.filter(|auth_string| !auth_string.is_empty());
        server.cors_origins = names("cors-origins", options.cors_origins, ORIGIN)?;
        server.allowed_hosts = names("allowed-hosts", options.allowed_hosts, HOST)?;
        server.allowed_hosts.extend(names_of_this_machine(options.host.as_deref()));
        server.is_csrf_protected = options.csrf_protection.unwrap_or(server.is_csrf_protected);
        server.tag_wait_seconds = options.tag_wait_seconds.unwrap_or(server.tag_wait_seconds);
        server.wait_seconds_max = options.wait_seconds_max.unwrap_or(server.wait_seconds_max);
        server.park_seconds = options.park_seconds.unwrap_or(server.park_seconds);
        server.heartbeat_timeout_seconds =
            options.heartbeat_timeout_seconds.unwrap_or(server.heartbeat_timeout_seconds);
        let mut records = leasehold_records::Bounds::default();
        records.runs_max = options.records_max.unwrap_or(records.runs_max);
        records.events_max = options.events_max.unwrap_or(records.events_max);
        records.client_events_max = options.client_events_max.unwrap_or(records.client_events_max);
        records.events_bytes_max = options.events_bytes_max.unwrap_or(records.events_bytes_max);
        records.age_seconds_max =
            options.records_age_seconds_max.unwrap_or(records.age_seconds_max);
        check(&server, records)?;
        Ok(Self {
            host: options.host.unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: options.port.unwrap_or(4200),
            data_dir: match options.data_dir {
                // As a whole path it can be found again, wherever this was started. It is not
                // one only if the working directory is gone.
                Some(data_dir) => path::absolute(&data_dir).unwrap_or(data_dir),
                None => project_dirs()?.data_local_dir().to_owned(),
            },
            log_format: options.log_format.unwrap_or_default(),
            log_level: options.log_level.unwrap_or_default(),
            server,
            records,
            events_per_second_max: options
                .events_per_second_max
                .unwrap_or(EVENTS_PER_SECOND_MAX_DEFAULT),
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

/// The file that was named has to be there; the one in its usual place may be missing.
fn read_file(named: Option<PathBuf>) -> Result<Options, OptionsError> {
    let is_named = named.is_some();
    let path = match named {
        Some(path) => path,
        None => project_dirs()?.config_dir().join("config.toml"),
    };
    match fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            OptionsError::Malformed { path, line, message: error.message().to_owned() }
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => {
            Ok(Options::default())
        }
        Err(error) => Err(OptionsError::Unreadable { path, error }),
    }
}

fn prefect_variables() -> Result<Options, OptionsError> {
    Ok(Options {
        tag_wait_seconds: variable(
            "PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS",
            "a number of seconds",
        )?,
        wait_seconds_max: variable(
            "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS",
            "a number of seconds",
        )?,
        page_size: variable("PREFECT_SERVER_API_DEFAULT_LIMIT", "a number of results")?,
        auth_string: variable("PREFECT_SERVER_API_AUTH_STRING", "text")?,
        csrf_protection: variable::<Truth>(
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED",
            "true or false",
        )?
        .map(|truth| truth.0),
        ..Options::default()
    })
}

fn variable<T: FromStr>(
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, OptionsError> {
    let value = match env::var(name) {
        Ok(value) if !value.is_empty() => value,
        Ok(_) | Err(env::VarError::NotPresent) => return Ok(None),
        Err(env::VarError::NotUnicode(_)) => return Err(OptionsError::NotText { name }),
    };
    match value.trim().parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(_) => Err(OptionsError::Variable { name, value, expected }),
    }
}

/// True or false in all the spellings that a Prefect server takes.
struct Truth(bool);

impl FromStr for Truth {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Ok(Self(true)),
            "0" | "false" | "f" | "no" | "n" | "off" => Ok(Self(false)),
            _ => Err(()),
        }
    }
}

fn check(
    server: &leasehold_server::Config,
    records: leasehold_records::Bounds,
) -> Result<(), OptionsError> {
    let bodies = &server.bodies;
    let within = |option, value: f64, from: f64, to: f64| {
        let expected = format!("from {from} to {to}");
        let is_within = (from..=to).contains(&value);
        is_within.then_some(()).ok_or(OptionsError::OutOfRange {
            option,
            // Numbers that nobody means have hundreds of digits.
            value: if value.abs() < 1e15 { value.to_string() } else { format!("{value:e}") },
            expected,
        })
    };
    const YEAR_SECONDS: f64 = 366.0 * 86_400.0;
    within("lease-seconds-min", bodies.lease_seconds_min, 0.001, YEAR_SECONDS)?;
    within("lease-seconds-max", bodies.lease_seconds_max, bodies.lease_seconds_min, YEAR_SECONDS)?;
    within(
        "lease-seconds-default",
        bodies.lease_seconds_default,
        bodies.lease_seconds_min,
        bodies.lease_seconds_max,
    )?;
    within("page-size", bodies.page_size as f64, 1.0, 10_000.0)?;
    within("tag-wait-seconds", server.tag_wait_seconds, 0.0, YEAR_SECONDS)?;
    within("wait-seconds-max", server.wait_seconds_max, 0.0, YEAR_SECONDS)?;
    // Clients give up a request after 60 s.
    within("park-seconds", server.park_seconds, 0.0, 55.0)?;
    within("heartbeat-timeout-seconds", server.heartbeat_timeout_seconds, 1.0, YEAR_SECONDS)?;
    within("records-max", records.runs_max as f64, 100.0, 100_000_000.0)?;
    within("events-max", records.events_max as f64, 100.0, 100_000_000.0)?;
    within("client-events-max", records.client_events_max as f64, 0.0, 100_000_000.0)?;
    within("events-bytes-max", records.events_bytes_max as f64, 1e6, 1e12)?;
    within("records-age-seconds-max", records.age_seconds_max as f64, 60.0, 100.0 * YEAR_SECONDS)
}

const HOST: &str = "a name such as limits.example, *.example or *";
const ORIGIN: &str = "an origin such as https://limits.example";

/// Several names; what is between two commas may be empty.
fn names<T: FromStr>(
    option: &'static str,
    given: Option<Vec<String>>,
    expected: &'static str,
) -> Result<Vec<T>, OptionsError> {
    let given = given.unwrap_or_default();
    let named = given.iter().map(|value| value.trim()).filter(|value| !value.is_empty());
    named
        .map(|value| {
            let wrong = |_| OptionsError::NoName { option, value: value.to_owned(), expected };
            value.parse().map_err(wrong)
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
