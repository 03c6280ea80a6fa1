//! What `leasehold run` is asked for.

use std::ffi::OsString;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use leasehold_redis::Mechanism;

use crate::commands::redis_flags::{RedisFlags, mechanism_parser};
use crate::commands::slots::{self, WantedLimit};
use crate::duration;
use crate::exit::{Exit, Failure};

/// What happens to the command when its slots or its lock are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLost {
    /// It is ended before another holder can run.
    Stop,
    /// It goes on, and a message says so.
    Warn,
}

/// Run a command under a limit, under a lock on Redis, or both.
///
/// Takes the slots first, and renews them while the command runs. If they are about to be lost,
/// because the server cannot be reached or an operator revoked them, the command and all its
/// processes get SIGTERM, and after the grace SIGKILL, before another holder can have the slots.
/// Signals to leasehold go to the command. When the command has ended, leasehold ends the processes
/// that it left, in other sessions too, and then gives the slots back.
///
/// The command finds LEASEHOLD_LEASE_ID, LEASEHOLD_FENCING_TOKEN and LEASEHOLD_DEADLINE (when the
/// lease ends unless it is renewed, at the start) in its environment.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["limit", "lock"]).multiple(true).required(true))]
#[command(override_usage = "leasehold run [OPTIONS] --limit NAME[=SLOTS] -- COMMAND...
       leasehold run [OPTIONS] --lock ID -- COMMAND...")]
#[command(after_help = "\
Exit codes:
  the command's own; 128 + N when signal N ended it
    1  there is no such limit, or it can never have so many slots
   64  the command line is wrong
   69  the server or Redis cannot be reached
   71  the system refused something, such as a process
   75  the slots or the lock were not granted in time
   77  the server or Redis refused the login, or does not permit it to this user
   78  a file or a variable with an address cannot be used
   79  the slots or the lock were lost while the command ran, however that ended
  126  the command cannot be run
  127  there is no such command

Examples:
  leasehold run --limit database -- ./report.sh
  leasehold run --limit db --limit api=2 --wait 10m --priority 5 -- make import
  leasehold run --limit nightly --wait 0 --keep 5m -- ./nightly.sh
  leasehold run --limit build --create 4 -- make -j8
  leasehold run --redis redis://localhost --lock nightly -- ./report.sh")]
pub(crate) struct Args {
    /// A limit, and how many of its slots; once for each limit. All are taken together
    #[arg(long, value_name = "NAME[=SLOTS]", value_parser = slots::wanted)]
    #[arg(add = crate::complete::limits())]
    pub(super) limit: Vec<WantedLimit>,

    /// Create a limit that does not exist, with so many slots
    #[arg(long, value_name = "SLOTS", requires = "limit")]
    pub(super) create: Option<u64>,

    /// Runs with a higher priority get their slots first
    #[arg(long, default_value_t = 0, requires = "limit", allow_negative_numbers = true)]
    pub(super) priority: i32,

    /// Who holds the slots, for people who look; HOST:PID unless it is given
    #[arg(long, value_name = "NAME", requires = "limit")]
    pub(super) holder: Option<String>,

    /// Hold the slots for so long after the command has ended, at most 24h: for cron on several
    /// machines whose clocks differ
    #[arg(long, value_name = "TIME", requires = "limit", value_parser = slots::parse_keep)]
    pub(super) keep: Option<Duration>,

    /// Id of a lock on Redis: the keys are PREFIX:lock:ID and PREFIX:lockv2:ID
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(super) lock: Option<String>,

    #[command(flatten)]
    pub(super) redis: RedisFlags,

    /// How to lock; without it, as the fleet's phase says, and token without a phase
    #[arg(long, value_parser = mechanism_parser(Mechanism::ALL), requires = "lock")]
    pub(super) mechanism: Option<Mechanism>,

    /// How long the slots and the lock outlive a leasehold that has crashed: 1s to 24h (a lock
    /// alone: 50ms to 365d); they are renewed every third of this
    #[arg(long, default_value = "60s", value_parser = duration::parse_ttl)]
    pub(super) ttl: Duration,

    /// How long to wait; 0 tries once; without it, for ever
    #[arg(long, value_parser = duration::parse)]
    pub(super) wait: Option<Duration>,

    /// What happens to the command when its slots or its lock are lost
    #[arg(long, value_enum, default_value = "stop")]
    pub(super) on_lost: OnLost,

    /// How long the command has between SIGTERM and SIGKILL; at most half of the ttl when the slots
    /// or the lock are lost
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    pub(super) grace: Duration,

    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub(super) command: Vec<OsString>,
}

/// What the server grants to a lease.
const TTL_OF_LEASES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);

impl Args {
    /// What only the arguments together can have wrong.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if !self.limit.is_empty() && !TTL_OF_LEASES.contains(&self.ttl) {
            return Err(Failure::new(Exit::Usage, "--ttl has to be from 1s to 24h with --limit"));
        }
        let names = self.limit.iter().map(|limit| &limit.name);
        match names
            .clone()
            .enumerate()
            .find(|(at, name)| names.clone().take(*at).any(|it| it == *name))
        {
            Some((_, twice)) => {
                let message = format!("--limit {twice:?} is given twice: write {twice}=SLOTS");
                Err(Failure::new(Exit::Usage, message))
            }
            None => Ok(()),
        }
    }

    /// Between the last SIGKILL and the moment when another holder can have the slots.
    fn margin(&self) -> Duration {
        (self.ttl / 10).min(Duration::from_secs(1))
    }

    /// What the command has between SIGTERM and SIGKILL when they are lost.
    pub(super) fn grace_when_lost(&self) -> Duration {
        self.notice().saturating_sub(self.margin())
    }

    /// How long the warden leaves it to us to end the command.
    pub(super) fn warden_delay(&self) -> Duration {
        (self.margin() / 4).min(self.grace_when_lost())
    }

    /// How long before another holder can have the slots the command gets SIGTERM.
    pub(super) fn notice(&self) -> Duration {
        (self.grace + self.margin()).min(self.ttl / 2)
    }
}
