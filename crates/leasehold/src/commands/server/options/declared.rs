//! The declaration of each option of `leasehold server start`.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ArgAction;
use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use leasehold_records::Bounds;
use leasehold_server::Config;
use leasehold_server::config::UpstreamUrl;
use leasehold_server::peer::TrustedProxies;

use crate::commands::server::log::{LogFormat, LogLevel};

pub(super) const YEAR_SECONDS: f64 = 366.0 * 86_400.0;
pub(super) const LEASE_SECONDS_LEAST: f64 = 0.001;

pub(crate) const HELP: &str = "\
Each option is also a key of the TOML file, with `_` for `-`:

  port = 4200
  lease_seconds_min = 5
  auth_string = \"admin:secret\"

A flag wins over its variable, the variable over the file, and the file over the
variables of a Prefect server below. An empty variable counts as unset.

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
  69  the address cannot be listened on, or the PostgreSQL cannot be used
  73  the data directory cannot be written
  75  another server, or another program, uses the same data
  76  a newer version wrote the journal
  77  the PostgreSQL refused the login
  78  the file or a variable is wrong, or the upstream refuses the password

Examples:
  leasehold server start
  leasehold server start --port 0 --data-dir ./data
  leasehold server start --journal postgres://leasehold@db/leasehold
  leasehold server start --host 0.0.0.0 --auth-string admin:secret
  leasehold server start --upstream http://prefect:4200/api
  leasehold server start --takeover
  LEASEHOLD_LOG_FORMAT=json leasehold server start";

/// The command line of `leasehold server start`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A TOML file with further options [default: config.toml in the platform's configuration
    /// directory, if it exists].
    #[arg(long, env, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Start although the journal holds less than was acknowledged: what is missing stays lost. A
    /// flag alone, for one start.
    #[arg(long)]
    pub(super) accept_loss: bool,
    /// Take over from the server that runs on this data directory: its socket stays open, it ends
    /// its requests and stops, and this server goes on. A flag alone, for one start.
    #[arg(long)]
    pub(super) takeover: bool,
    #[command(flatten)]
    pub(super) options: Options,
}

/// Everything that a flag, a variable or the file can set. A new option is a field here, and the
/// line of [`Settings::new`](super::Settings) that hands it on.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The address to listen on.
    #[arg(long, env, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(super) host: String,
    /// The port to listen on; 0 picks a free one and prints it.
    #[arg(long, env, value_name = "PORT", default_value_t = 4200)]
    pub(super) port: u16,
    /// Where the server keeps its data [default: the platform's data directory].
    #[arg(long, env, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Where the journal of limits and leases is: postgres://USER@HOST/DATABASE, which other nodes
    /// may share [default: a file in the data directory].
    #[arg(long, env, value_name = "ADDRESS")]
    pub(super) journal: Option<String>,
    /// A file with the password of that PostgreSQL in its first line, read at each connection
    /// [default: PGPASSWORD, or a file as PGPASSFILE or ~/.pgpass].
    #[arg(long, env, value_name = "FILE")]
    pub(super) journal_password_file: Option<PathBuf>,
    /// Within so many seconds after the death of the node that owns the ledger, another one that
    /// stands by takes it over.
    #[arg(long, env, value_name = "SECONDS", default_value_t = 5.0)]
    #[arg(value_parser = within(0.5, 3_600.0))]
    pub(super) journal_takeover_seconds: f64,
    /// The format of the log, which goes to standard error.
    #[arg(long, env, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,
    /// The least severe lines in the log.
    #[arg(long, env, value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: LogLevel,
    /// Log each request with its client, its lease and its limits. At the level `debug` the server
    /// does so in any case.
    #[arg(long, env, value_name = "BOOL", default_value = "false")]
    #[arg(action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub(super) access_log: bool,
    /// The shortest lease that clients of Prefect may ask for, in seconds. Others, at /api/leases,
    /// may ask for one second.
    #[arg(long, env, value_name = "SECONDS", default_value_t = server().bodies.lease_seconds_min)]
    #[arg(value_parser = within(LEASE_SECONDS_LEAST, YEAR_SECONDS))]
    pub(super) lease_seconds_min: f64,
    /// The lease of a client of Prefect that asks for no length, in seconds. Others, at
    /// /api/leases, get 60 [default: 300].
    #[arg(long, env, value_name = "SECONDS")]
    #[arg(value_parser = within(LEASE_SECONDS_LEAST, YEAR_SECONDS))]
    pub(super) lease_seconds_default: Option<f64>,
    /// The longest lease that any client may ask for, in seconds.
    #[arg(long, env, value_name = "SECONDS", default_value_t = server().bodies.lease_seconds_max)]
    #[arg(value_parser = within(LEASE_SECONDS_LEAST, YEAR_SECONDS))]
    pub(super) lease_seconds_max: f64,
    /// The most results of one list.
    #[arg(long, env, value_name = "COUNT", default_value_t = server().bodies.page_size)]
    #[arg(value_parser = within(1_u64, 10_000))]
    pub(super) page_size: u64,
    /// The user and the password that clients must send [default: none].
    #[arg(long, env, value_name = "USER:PASSWORD")]
    #[arg(hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(super) auth_string: Option<String>,
    /// Names by which browsers may address the server, with commas between: `name`, `*.name`, or
    /// `*` for all. Programs may use any name [default: localhost, addresses, and this machine's
    /// name].
    #[arg(long, env, value_name = "NAMES", value_delimiter = ',', num_args = 1)]
    pub(super) allowed_hosts: Vec<String>,
    /// Origins whose pages may read and write here from a browser, with commas between, such as
    /// `https://limits.example` [default: none].
    #[arg(long, env, value_name = "ORIGINS", value_delimiter = ',', num_args = 1)]
    pub(super) cors_origins: Vec<String>,
    /// Whether writes need a CSRF token.
    #[arg(long, env, value_name = "BOOL", default_value = "false")]
    #[arg(action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub(super) csrf_protection: bool,
    /// The longest Retry-After of tag-based limits, in seconds.
    #[arg(long, env, value_name = "SECONDS", default_value_t = server().tag_wait_seconds)]
    #[arg(value_parser = within(0.0, YEAR_SECONDS))]
    pub(super) tag_wait_seconds: f64,
    /// The longest Retry-After of other limits, in seconds.
    #[arg(long, env, value_name = "SECONDS", default_value_t = server().wait_seconds_max)]
    #[arg(value_parser = within(0.0, YEAR_SECONDS))]
    pub(super) wait_seconds_max: f64,
    // Clients give up a request after 60 s.
    /// How long the server holds a repeated request open, in seconds; 0 lets clients poll.
    #[arg(long, env, value_name = "SECONDS", default_value_t = server().park_seconds)]
    #[arg(value_parser = within(0.0, 55.0))]
    pub(super) park_seconds: f64,
    /// The reverse proxies whose X-Forwarded-For or Forwarded header names the client's address:
    /// addresses and networks with commas between, or none [default: 127.0.0.0/8,::1].
    #[arg(long, env, value_name = "ADDRESSES")]
    pub(super) trusted_proxies: Option<TrustedProxies>,
    /// The Prefect server behind this one, such as `http://prefect:4200/api`: what is not ours is
    /// passed on to it [default: none].
    #[arg(long, env, value_name = "URL")]
    pub(super) upstream: Option<UpstreamUrl>,
    /// Ask the Prefect server by its own name, the host in --upstream, and not by the one that the
    /// client used: an ingress that serves several names chooses by it.
    #[arg(long, env, value_name = "BOOL", default_value = "false")]
    #[arg(action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub(super) upstream_by_name: bool,
    /// After so many seconds without a heartbeat, a flow run that sent heartbeats counts as dead:
    /// its task runs lose the slots that they cannot renew. Thrice the client's interval.
    #[arg(long, env, value_name = "SECONDS", default_value_t = server().heartbeat_timeout_seconds)]
    #[arg(value_parser = within(1.0, YEAR_SECONDS))]
    pub(super) heartbeat_timeout_seconds: f64,
    /// The most flow runs and task runs that the server records.
    #[arg(long, env, value_name = "COUNT", default_value_t = records().runs_max)]
    #[arg(value_parser = within(100_u64, 100_000_000))]
    pub(super) records_max: u64,
    /// The most events of limits and leases that the server keeps.
    #[arg(long, env, value_name = "COUNT", default_value_t = records().events_max)]
    #[arg(value_parser = within(100_u64, 100_000_000))]
    pub(super) events_max: u64,
    /// The most events from clients that the server keeps.
    #[arg(long, env, value_name = "COUNT", default_value_t = records().client_events_max)]
    #[arg(value_parser = within(0_u64, 100_000_000))]
    pub(super) client_events_max: u64,
    /// The most bytes of all events; half of them are for events from clients.
    #[arg(long, env, value_name = "BYTES", default_value_t = records().events_bytes_max)]
    #[arg(value_parser = within(1_000_000_u64, 1_000_000_000_000))]
    pub(super) events_bytes_max: u64,
    // Enough for a person to follow, and a hundredth of what a limit can grant.
    /// The most routine events that the server logs each second: grants, releases, late renewals,
    /// and waiters that join and leave a queue; 0 logs all of them.
    #[arg(long, env, value_name = "COUNT", default_value_t = 1_000)]
    pub(super) events_per_second_max: u32,
    /// How long the server keeps a run after its last change, and an event, in seconds. A week.
    #[arg(long, env, value_name = "SECONDS", default_value_t = records().age_seconds_max)]
    #[arg(value_parser = within(60_u64, 3_162_240_000))]
    pub(super) records_age_seconds_max: u64,
}

/// The defaults of the server.
fn server() -> Config {
    Config::default()
}

/// The defaults of the records.
fn records() -> Bounds {
    Bounds::default()
}

/// Reads numbers from one bound to the other.
fn within<T>(from: T, to: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| (from..=to).contains(number));
        number.ok_or_else(|| format!("must be a number from {from} to {to}"))
    }
}
