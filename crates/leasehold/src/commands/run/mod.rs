//! `leasehold run`: a command that runs only while it holds a lock, and is stopped before the lock
//! is lost.

mod family;
mod held;
mod keeper;
mod process;
mod waiting;
mod warden;

pub(crate) use warden::{WardenArgs, warden};

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use leasehold_redis::{Guard, Lost, Mechanism, ReleaseError, Wait};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::commands::redis_flags::{RedisFlags, mechanism_parser};
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output;
use keeper::{Keeper, Orders};
use process::{Group, Signals};

/// Run a command under a lock.
///
/// Takes the lock first, and renews it while the command runs. If the lock is about to be lost,
/// because Redis cannot be reached or another holder took it, the command and all its processes get
/// SIGTERM, and after the grace SIGKILL, before another holder can have the lock. Signals to
/// leasehold go to the command. When the command has ended, leasehold ends the processes that it
/// left, in other sessions too, and then releases the lock.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
  the command's own; 128 + N when signal N ended it
   64  the command line is wrong
   69  Redis cannot be reached
   71  the system refused something, such as a process
   75  the lock was not granted in time
   77  Redis refused the login, or does not permit it to this user
   78  the file with the address cannot be used
   79  the lock was lost while the command ran, however that ended
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
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    lock: String,

    /// How to lock; without it, as the fleet's phase says, and token without a phase
    #[arg(long, value_parser = mechanism_parser(Mechanism::ALL))]
    mechanism: Option<Mechanism>,

    /// How long the lock outlives a leasehold that has crashed, at most 365d; it is renewed every
    /// third of this
    #[arg(long, default_value = "60s", value_parser = duration::parse_ttl)]
    ttl: Duration,

    /// How long to wait for the lock; 0 tries once; without it, for ever
    #[arg(long, value_parser = duration::parse)]
    wait: Option<Duration>,

    /// How long the command has between SIGTERM and SIGKILL; at most half of the ttl when the lock
    /// is lost
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

    /// Between the last SIGKILL and the moment when another holder can have the lock.
    fn margin(&self) -> Duration {
        (self.ttl / 10).min(Duration::from_secs(1))
    }

    /// What the command has between SIGTERM and SIGKILL when the lock is lost.
    fn grace_when_lost(&self) -> Duration {
        self.notice().saturating_sub(self.margin())
    }

    /// How long the warden leaves it to us to end the command.
    fn warden_delay(&self) -> Duration {
        (self.margin() / 4).min(self.grace_when_lost())
    }

    /// How long before another holder can have the lock the command gets SIGTERM.
    fn notice(&self) -> Duration {
        (self.grace + self.margin()).min(self.ttl / 2)
    }
}

/// How a command ended, and why it was not under the lock until then.
struct Ended {
    code: u8,
    lost: Option<Lost>,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let held = tokio::select! {
        biased;
        // D29: no command starts after a signal to stop.
        signal = signals.stop() => return Ok(ExitCode::from(process::code_of_signal(signal))),
        held = held::acquire(&args) => held?,
    };
    if let Some(signal) = signals.stop_now() {
        let _ = held.release().await;
        return Ok(ExitCode::from(process::code_of_signal(signal)));
    }
    let (group, keeper) = match start(&args, &held.guard) {
        Ok(started) => started,
        Err(failure) => {
            let _ = held.release().await;
            return Err(failure);
        }
    };
    let mut watch = Watch { args: &args, group, keeper, lost: None };
    let mut ended = watch.supervise(&held.guard, &mut signals).await?;
    match held.release().await {
        // The command ended before we saw the loss: another holder may have run beside it.
        Err(ReleaseError::Lost(loss)) if ended.lost.is_none() => {
            output::say(&format!("lock {:?} was lost: {loss}", args.lock));
            ended.lost = Some(loss);
        }
        Err(error @ ReleaseError::Fault(_)) if ended.lost.is_none() => {
            output::say(&error.to_string());
        }
        _ => {}
    }
    if ended.lost.is_some() {
        output::say(&format!("the command ended without its lock, with {}", ended.code));
        return Ok(Exit::LockLost.into());
    }
    Ok(ExitCode::from(ended.code))
}

/// The command, and the warden before it: from the first moment on, the command does not outlive
/// us.
fn start(args: &Args, guard: &Guard) -> Result<(Group, Keeper), Failure> {
    let others = family::children(Pid::this());
    let mark = format!("{}-{}", Pid::this(), warden::now_ms());
    let orders = Orders {
        grace: args.grace_when_lost().saturating_sub(args.warden_delay()),
        mark: mark.clone(),
    };
    let mut keeper = Keeper::start(orders)?;
    let mut group = Group::spawn(&args.command, &mark, others)?;
    group.spare(keeper.id());
    keeper.report(group.id(), warden_until(args, guard));
    Ok((group, keeper))
}

/// A running command, and what ends it with its lock.
struct Watch<'a> {
    args: &'a Args,
    group: Group,
    keeper: Keeper,
    lost: Option<Lost>,
}

impl Watch<'_> {
    async fn supervise(&mut self, guard: &Guard, signals: &mut Signals) -> Result<Ended, Failure> {
        let mut is_stopping = false;
        let mut reports = tokio::time::interval(self.args.ttl / 20);
        reports.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut until = guard.held_until();
        let code = loop {
            tokio::select! {
                biased;
                loss = guard.lost(), if self.lost.is_none() => self.stop(loss, until),
                signal = signals.next() => {
                    let is_stop = Signals::is_stop(signal);
                    self.group.pass_on(signal);
                    // A second request to stop is meant: the grace starts to count.
                    if is_stop && is_stopping {
                        self.group.kill_at(Instant::now() + self.args.grace);
                    }
                    is_stopping |= is_stop;
                }
                _ = reports.tick(), if self.lost.is_none() => {
                    until = guard.held_until();
                    self.keeper.report(self.group.id(), warden_until(self.args, guard));
                }
                () = self.keeper.ended() => self.replace_warden(),
                code = self.group.wait() => break code?,
            }
        };
        // The warden may have seen first that the time was over, and have ended the command.
        if self.lost.is_none() && !guard.is_held() {
            self.note(guard.lost().await);
        }
        self.keeper.report(self.group.id(), None);
        if let Some(loss) = self.end_leftovers(guard).await {
            self.note(loss);
        }
        Ok(Ended { code, lost: self.lost.take() })
    }

    /// Answers why the lock was lost meanwhile, if it was.
    async fn end_leftovers(&mut self, guard: &Guard) -> Option<Lost> {
        let grace = self.args.grace.min(self.args.notice());
        let mut ending = std::pin::pin!(self.group.end_leftovers(grace));
        tokio::select! {
            () = &mut ending => None,
            loss = guard.lost(), if self.lost.is_none() => {
                ending.await;
                Some(loss)
            }
        }
    }

    fn stop(&mut self, loss: Lost, until: Option<Instant>) {
        self.keeper.report(self.group.id(), None);
        self.note(loss);
        // A late report of the loss shortens the grace.
        let now = Instant::now();
        let lost_at = until.map_or(now, |until| until.min(now));
        self.group.terminate(lost_at + self.args.grace_when_lost());
    }

    fn note(&mut self, loss: Lost) {
        output::say(&format!("lock {:?} is lost, stopping the command: {loss}", self.args.lock));
        self.lost = Some(loss);
    }

    fn replace_warden(&mut self) {
        self.keeper.replace();
        self.group.spare(self.keeper.id());
    }
}

/// Until when the warden waits. It acts after us: we can say why the command has to stop.
fn warden_until(args: &Args, guard: &Guard) -> Option<Instant> {
    Some(guard.held_until()? + args.warden_delay())
}
