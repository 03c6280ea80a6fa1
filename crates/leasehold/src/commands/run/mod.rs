//! `leasehold run`: a command that runs only while something is held, and is told before it is lost.

mod held;
mod process;
mod warden;

pub(crate) use warden::{WardenArgs, warden};

use crate::commands::redis_flags::RedisFlags;
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output;
use clap::builder::PossibleValuesParser;
use leasehold_redis::{AcquireError, Guard, Wait};
use process::{Group, Signals};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// Run a command under a lock.
///
/// The lock is taken first and renewed while the command runs. When the lock is about to be lost, because Redis cannot
/// be reached or somebody took it away, the command and everything that it started get SIGTERM, and after the grace
/// SIGKILL, before anyone else can have the lock. Signals sent to leasehold are passed on. When the command has ended,
/// what it left behind in its process group is ended too, and then the lock is given back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
  the command's own; 128 + N when signal N ended it
   69  Redis cannot be reached
   75  the lock was not to be had in time
   79  the lock was lost, and the command still ended with 0
   77  Redis refused the login
  126  the command cannot be run
  127  there is no such command

Examples:
  leasehold run --redis redis://localhost --lock nightly -- ./report.sh
  leasehold run --redis redis://localhost --lock nightly --wait 0 -- ./report.sh
  leasehold run --lock import --ttl 2m --wait 10m -- make import")]
pub(crate) struct Args {
    #[command(flatten)]
    redis: RedisFlags,

    /// Id of the lock: the keys are PREFIX:lock:ID and PREFIX:lockv2:ID
    #[arg(long, value_name = "ID")]
    lock: String,

    /// How to lock; without it, as the fleet's phase says, and token where there is none
    #[arg(long, value_parser = PossibleValuesParser::new(["old", "dual", "token"]))]
    mechanism: Option<String>,

    /// How long the lock outlives a leasehold that has crashed; it is renewed every third of this
    #[arg(long, default_value = "60s", value_parser = duration::parse_positive)]
    ttl: Duration,

    /// How long to wait for the lock; 0 tries once; without it, for ever
    #[arg(long, value_parser = duration::parse)]
    wait: Option<Duration>,

    /// How long the command has between SIGTERM and SIGKILL; at most half of the ttl when the lock is lost
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    grace: Duration,

    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Args {
    fn wait(&self) -> Wait {
        match self.wait {
            None => Wait::Forever,
            Some(Duration::ZERO) => Wait::No,
            Some(wait) => Wait::AtMost(wait),
        }
    }

    /// Between the last SIGKILL and the moment when somebody else can have the lock.
    fn margin(&self) -> Duration {
        (self.ttl / 10).min(Duration::from_secs(1))
    }

    /// How long before somebody else can have the lock the command is told.
    fn notice(&self) -> Duration {
        (self.grace + self.margin()).min(self.ttl / 2)
    }
}

/// How a command ended, and whether it was under the lock until then.
struct Ended {
    code: u8,
    lost: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let held = tokio::select! {
        biased;
        // D29: nothing starts once we were told to stop.
        signal = signals.stop() => return Ok(ExitCode::from(process::code_of_signal(signal))),
        held = held::acquire(&args) => held?,
    };
    if let Some(signal) = signals.stop_now() {
        let _ = held.release().await;
        return Ok(ExitCode::from(process::code_of_signal(signal)));
    }
    let group = match Group::spawn(&args.command, args.notice().saturating_sub(args.margin())) {
        Ok(group) => group,
        Err(failure) => {
            let _ = held.release().await;
            return Err(failure);
        }
    };
    let ended = supervise(&args, group, &held.guard, &mut signals).await?;
    if let Err(error) = held.release().await
        && !ended.lost
    {
        output::say(&error.to_string());
    }
    let code = if ended.lost && ended.code == 0 { Exit::LockLost as u8 } else { ended.code };
    Ok(ExitCode::from(code))
}

async fn supervise(
    args: &Args,
    mut group: Group,
    guard: &Guard,
    signals: &mut Signals,
) -> Result<Ended, Failure> {
    let mut lost = false;
    let mut told_to_stop = false;
    let mut reports = tokio::time::interval(args.ttl / 20);
    reports.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut until = held_until(guard);
    group.tell_warden(until);
    let code = loop {
        tokio::select! {
            biased;
            loss = guard.lost(), if !lost => {
                lost = true;
                group.tell_warden(None);
                output::say(&format!("lock {:?} is lost, stopping the command: {loss}", args.lock));
                // Whoever hears of it late has so much less of the grace left.
                let now = Instant::now();
                let lost_at = until.map_or(now, |until| until.min(now));
                group.terminate(lost_at + args.notice().saturating_sub(args.margin()));
            }
            signal = signals.next() => {
                let is_stop = Signals::is_stop(signal);
                group.pass_on(signal);
                // A second request to stop is meant: the grace starts to count.
                if is_stop && told_to_stop {
                    group.kill_at(Instant::now() + args.grace);
                }
                told_to_stop |= is_stop;
            }
            _ = reports.tick(), if !lost => {
                until = held_until(guard);
                group.tell_warden(until);
            }
            code = group.wait() => break code?,
        }
    };
    group.tell_warden(None);
    let leftovers = async {
        loop {
            let loss = guard.lost().await;
            output::say(&format!("lock {:?} is lost: {loss}", args.lock));
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = group.end_leftovers(args.grace.min(args.notice())) => {}
        () = leftovers => {}
    }
    Ok(Ended { code, lost })
}

/// Until when the lock is held at least. The clock is read first: standing still in between makes it no later.
fn held_until(guard: &Guard) -> Option<Instant> {
    let now = Instant::now();
    Some(now + guard.time_left()?)
}

fn not_acquired(error: &AcquireError) -> Failure {
    let code = match error {
        AcquireError::NotInTime { .. } => Exit::Busy,
        AcquireError::Fault { fault, .. } => Exit::from(fault),
        _ => Exit::Unavailable,
    };
    Failure::new(code, error.to_string())
}
