//! `leasehold run`: a command that runs only while it holds slots of limits or a lock, and is
//! stopped before they are lost.

mod args;
mod family;
mod held;
mod keeper;
mod lease;
mod lock;
mod loss;
mod process;
mod waiting;
mod warden;

pub(crate) use args::Args;
pub(crate) use warden::{WardenArgs, warden};

use std::process::ExitCode;

use nix::unistd::Pid;
use tokio::time::Instant;

use crate::commands::session::Session;
use crate::exit::{Exit, Failure};
use crate::output;
use args::OnLost;
use held::Held;
use keeper::{Keeper, Orders};
use loss::Loss;
use process::{Group, Signals};

/// How a command ended, and why it did not hold everything until then.
struct Ended {
    code: u8,
    lost: Option<Loss>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    args.check()?;
    let mut signals = Signals::listen()?;
    let mut held = Held::default();
    let acquired = tokio::select! {
        biased;
        // D29: no command starts after a signal to stop.
        signal = signals.stop() => Err(signal),
        acquired = held.acquire(session, &args) => Ok(acquired),
    };
    output::progress_end();
    let stopped = match acquired {
        Err(signal) => Some(Ok(ExitCode::from(process::code_of_signal(signal)))),
        Ok(Err(failure)) => Some(Err(failure)),
        Ok(Ok(())) => signals.stop_now().map(|it| Ok(ExitCode::from(process::code_of_signal(it)))),
    };
    if let Some(stopped) = stopped {
        held.give_up().await;
        return stopped;
    }
    let (group, keeper) = match start(&args, &held) {
        Ok(started) => started,
        Err(failure) => {
            held.give_up().await;
            return Err(failure);
        }
    };
    let mut watch = Watch { args: &args, group, keeper, lost: None };
    let mut ended = watch.supervise(&held, &mut signals).await?;
    for outcome in held.release(args.keep).await {
        match outcome {
            // The command ended before we saw the loss: another holder may have run beside it.
            Err(loss) if loss.is_a_loss() && ended.lost.is_none() => {
                output::say(&format!("{} was lost: {loss}", loss.what()));
                ended.lost = Some(loss);
            }
            Err(fault) if ended.lost.is_none() => output::say(&fault.to_string()),
            _ => {}
        }
    }
    match ended.lost {
        Some(loss) if args.on_lost == OnLost::Stop => {
            let code = ended.code;
            output::say(&format!("the command ended without its {}, with {code}", loss.noun()));
            Ok(Exit::LockLost.into())
        }
        _ => Ok(ExitCode::from(ended.code)),
    }
}

/// The command, and the warden before it: from the first moment on, the command does not outlive
/// us.
fn start(args: &Args, held: &Held) -> Result<(Group, Keeper), Failure> {
    let others = family::children(Pid::this());
    let mark = format!("{}-{}", Pid::this(), warden::now_ms());
    let orders = Orders {
        grace: args.grace_when_lost().saturating_sub(args.warden_delay()),
        mark: mark.clone(),
    };
    let mut keeper = Keeper::start(orders)?;
    let mut group = Group::spawn(&args.command, &mark, held.environment(), others)?;
    group.spare(keeper.id());
    keeper.report(group.id(), warden_until(args, held));
    Ok((group, keeper))
}

/// A running command, and what ends it with its slots.
struct Watch<'a> {
    args: &'a Args,
    group: Group,
    keeper: Keeper,
    lost: Option<Loss>,
}

impl Watch<'_> {
    async fn supervise(&mut self, held: &Held, signals: &mut Signals) -> Result<Ended, Failure> {
        let mut is_stopping = false;
        let mut reports = tokio::time::interval(self.args.ttl / 20);
        reports.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut until = held.held_until();
        let code = loop {
            tokio::select! {
                biased;
                loss = held.lost(), if self.lost.is_none() => self.stop(loss, until),
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
                    until = held.held_until();
                    self.keeper.report(self.group.id(), warden_until(self.args, held));
                }
                () = self.keeper.ended() => self.replace_warden(),
                code = self.group.wait() => break code?,
            }
        };
        // The warden may have seen first that the time was over, and have ended the command.
        if self.lost.is_none() && !held.is_held() {
            self.note(held.lost().await);
        }
        self.keeper.report(self.group.id(), None);
        if let Some(loss) = self.end_leftovers(held).await {
            self.note(loss);
        }
        Ok(Ended { code, lost: self.lost.take() })
    }

    /// Answers what was lost meanwhile, if anything was.
    async fn end_leftovers(&mut self, held: &Held) -> Option<Loss> {
        let grace = self.args.grace.min(self.args.notice());
        let mut ending = std::pin::pin!(self.group.end_leftovers(grace));
        tokio::select! {
            () = &mut ending => None,
            loss = held.lost(), if self.lost.is_none() => {
                ending.await;
                Some(loss)
            }
        }
    }

    fn stop(&mut self, loss: Loss, until: Option<Instant>) {
        self.keeper.report(self.group.id(), None);
        self.note(loss);
        if self.args.on_lost == OnLost::Warn {
            return;
        }
        // A late report of the loss shortens the grace.
        let now = Instant::now();
        let lost_at = until.map_or(now, |until| until.min(now));
        self.group.terminate(lost_at + self.args.grace_when_lost());
    }

    fn note(&mut self, loss: Loss) {
        let then = match self.args.on_lost {
            OnLost::Stop => "stopping the command",
            OnLost::Warn => "the command goes on",
        };
        output::say(&format!("{} is lost, {then}: {loss}", loss.what()));
        self.lost = Some(loss);
    }

    fn replace_warden(&mut self) {
        self.keeper.replace();
        self.group.spare(self.keeper.id());
    }
}

/// Until when the warden waits. It acts after us: we can say why the command has to stop.
fn warden_until(args: &Args, held: &Held) -> Option<Instant> {
    if args.on_lost == OnLost::Warn {
        return None;
    }
    Some(held.held_until()? + args.warden_delay())
}
