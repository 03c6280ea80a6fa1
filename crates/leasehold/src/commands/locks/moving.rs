//! `leasehold redis locks advance` and `rollback`: the fleet one phase on or back, when that is
//! safe.

mod report;

use std::process::ExitCode;
use std::time::Duration;

use leasehold_redis::{Fleet, MoveError, MoveRule, Observation, Phase, Verdict};
use tokio::time::Instant;

use self::report::{finish, moved_not, pause, say_risk, state};
use super::{Place, Where};
use crate::commands::redis_flags::mechanism_parser;
use crate::commands::{help, whoami};
use crate::duration;
use crate::exit::{Exit, Failure, or_json};
use crate::output;

const EXIT_CODES: &str = "\
    0  the fleet is in the new phase
    1  it is not safe to go on, and the wait is over
   64  the command line is wrong
   69  Redis cannot be reached
   77  Redis refused the login, or does not permit it to this user
   78  the file with the address cannot be used
  130  ended by Ctrl-C";

/// Move the fleet on: old, dual, token.
///
/// Goes to dual when every process has confirmed old. Goes to token when every process has
/// confirmed dual and no lock with the old half alone was live for the longest timeout. Ctrl-C
/// changes nothing. Workers that are not ours are judged by their locks.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "\
  leasehold redis locks advance --redis redis://localhost
  leasehold redis locks advance --redis redis://localhost --to token --wait 30m
  leasehold redis locks advance --redis redis://localhost --downtime"))]
pub(crate) struct AdvanceArgs {
    #[command(flatten)]
    how: How,

    /// Go on until this phase, instead of by one
    #[arg(long, value_parser = mechanism_parser([Phase::Dual, Phase::Token]))]
    to: Option<Phase>,
}

/// Move the fleet back: token, dual, old.
///
/// By the same rules as advance, the other way round. A migration begins with it, before the first
/// program that follows the phase starts: without a phase, programs use token locks.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "\
  leasehold redis locks rollback --redis redis://localhost
  leasehold redis locks rollback --redis redis://localhost --to old --downtime"))]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    how: How,

    /// Go back until this phase, instead of by one
    #[arg(long, value_parser = mechanism_parser([Phase::Old, Phase::Dual]))]
    to: Option<Phase>,
}

#[derive(Debug, clap::Args)]
struct How {
    #[command(flatten)]
    place: Where,

    /// How long to wait for what stands in the way; 0 looks once
    #[arg(long, default_value = "15m", value_parser = duration::parse)]
    wait: Duration,

    /// The longest timeout of any lock: it is safe when no lock stood in the way for so long
    #[arg(long, default_value = "60s", value_parser = duration::parse_positive)]
    longest_timeout: Duration,

    /// Pause between two looks
    #[arg(long, default_value = "1s", value_parser = duration::parse_positive)]
    interval: Duration,

    /// All programs are down: go all the way at once, unless a process or a lock is alive
    #[arg(long, conflicts_with = "force")]
    downtime: bool,

    /// Go on in any case. Two holders may then have one lock at once
    #[arg(long)]
    force: bool,

    /// One JSON object at the end
    #[arg(long)]
    json: bool,
}

pub(super) async fn advance(args: AdvanceArgs) -> Result<ExitCode, Failure> {
    go(args.how, args.to, Phase::next, Phase::Token).await
}

pub(super) async fn rollback(args: RollbackArgs) -> Result<ExitCode, Failure> {
    go(args.how, args.to, Phase::previous, Phase::Old).await
}

async fn go(
    how: How,
    to: Option<Phase>,
    step: fn(Phase) -> Option<Phase>,
    end: Phase,
) -> Result<ExitCode, Failure> {
    or_json(how.json, try_to_go(&how, to, step, end).await)
}

async fn try_to_go(
    how: &How,
    to: Option<Phase>,
    step: fn(Phase) -> Option<Phase>,
    end: Phase,
) -> Result<ExitCode, Failure> {
    let place = how.place.connect().await?;
    let fleet = Fleet::read(&place.redis, &place.keys).await?;
    let from = fleet.phase.phase;
    let target = match to {
        Some(phase) => phase,
        None if how.downtime => end,
        None => step(from).unwrap_or(end),
    };
    match go_to(how, &place, fleet, target, step).await {
        Ok(fleet) => Ok(finish(how, &place, from, &fleet)),
        Err(failure) => {
            output::progress_end();
            // If Redis does not answer any more, the failure says so.
            let now = Fleet::read(&place.redis, &place.keys).await.ok();
            Err(state(&place, from, now.as_ref())
                .into_iter()
                .fold(failure, |failure, (name, value)| failure.detail(&name, value)))
        }
    }
}

async fn go_to(
    how: &How,
    place: &Place,
    mut fleet: Fleet,
    target: Phase,
    step: fn(Phase) -> Option<Phase>,
) -> Result<Fleet, Failure> {
    let deadline = Instant::now() + how.wait;
    let from = fleet.phase.phase;
    // During a downtime, being there already is still checked: workers that are not ours know no
    // phase.
    if from == target && !how.downtime {
        if fleet.phase.epoch == 0 {
            output::say(
                "no phase was ever set, which means token; `rollback --to old` begins a migration",
            );
        }
        return Ok(fleet);
    }
    if from != target && !is_ahead(from, target, step) {
        return Err(Failure::new(
            Exit::Usage,
            format!("the phase is {from}: {target} does not lie in this direction"),
        ));
    }
    if how.downtime {
        move_when_safe(how, place, fleet, target, deadline).await?;
        return Ok(Fleet::read(&place.redis, &place.keys).await?);
    }
    while fleet.phase.phase != target {
        let Some(next) = step(fleet.phase.phase) else {
            break;
        };
        if how.force {
            say_risk(fleet.phase.phase, next);
        }
        move_when_safe(how, place, fleet, next, deadline).await?;
        output::say(&format!("the phase is {next} now; waiting for the processes to follow"));
        fleet = follow(how, place, deadline).await?;
    }
    Ok(fleet)
}

fn is_ahead(from: Phase, target: Phase, step: fn(Phase) -> Option<Phase>) -> bool {
    std::iter::successors(step(from), |phase| step(*phase)).any(|phase| phase == target)
}

/// Looks until it is safe, and changes the phase then.
async fn move_when_safe(
    how: &How,
    place: &Place,
    mut fleet: Fleet,
    to: Phase,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut observation = Observation::new(fleet.phase.phase, to, how.longest_timeout);
    let mut said = String::new();
    let rule = match how {
        How { force: true, .. } => MoveRule::Force,
        How { downtime: true, .. } => MoveRule::NoneAlive,
        _ => MoveRule::Confirmed,
    };
    loop {
        let verdict = if how.force {
            Verdict::Safe
        } else {
            let (read, census) = place.look().await?;
            // Redis refuses the step below if another operator has moved the phase.
            if read.phase == fleet.phase {
                fleet = read;
            }
            if how.downtime {
                Observation::judge_downtime(&fleet, &census)
            } else {
                observation.judge(&fleet, &census, Instant::now())
            }
        };
        if verdict == Verdict::Safe {
            match fleet.move_to(&place.redis, &place.keys, to, rule, &whoami()).await {
                Ok(_) => return Ok(()),
                Err(MoveError::NotConfirmed { .. }) => {}
                Err(error) => return Err(moved_not(&error)),
            }
        }
        pause(how, place, to, &verdict, deadline, &mut said).await?;
    }
}

/// Waits for the processes, which learn of the change by their next heartbeat.
async fn follow(how: &How, place: &Place, deadline: Instant) -> Result<Fleet, Failure> {
    let patience = deadline.max(Instant::now() + Duration::from_secs(15));
    loop {
        let fleet = Fleet::read(&place.redis, &place.keys).await?;
        let unconfirmed = fleet.unconfirmed().count();
        if unconfirmed == 0 || how.force {
            return Ok(fleet);
        }
        let waiting = format!("{unconfirmed} process(es) have not confirmed yet");
        if Instant::now() >= patience {
            output::say(&format!("{waiting}; `leasehold redis locks status` shows which"));
            return Ok(fleet);
        }
        output::progress(&waiting);
        tokio::time::sleep(how.interval.min(Duration::from_millis(300))).await;
    }
}
