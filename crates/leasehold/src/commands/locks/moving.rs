//! `leasehold locks advance` and `rollback`: the fleet one phase on or back, when that is safe.

use std::process::ExitCode;
use std::time::Duration;

use leasehold_redis::{Fleet, MoveError, MoveRule, Observation, Phase, Verdict};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{Place, Where, guidance};
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output::{self, Paint};

/// Move the fleet on: old, dual, token.
///
/// Goes to dual when every process has confirmed old. Goes to token when every process has
/// confirmed dual, no lock with the old half alone is live, and none was seen for longer than the
/// longest timeout. Ctrl-C at any time changes nothing. Workers that are not ours are judged by the
/// locks that they leave.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
    0  the fleet is in the new phase
    1  it is not safe to go on, and the wait is over
   64  the command line is wrong
   69  Redis cannot be reached
   77  Redis refused the login, or does not permit it to this user
   78  the file with the address cannot be used
  130  ended by Ctrl-C

Examples:
  leasehold locks advance --redis redis://localhost
  leasehold locks advance --redis redis://localhost --to token --wait 30m
  leasehold locks advance --redis redis://localhost --downtime")]
pub(crate) struct AdvanceArgs {
    #[command(flatten)]
    how: How,

    /// Go on until this phase, instead of by one
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(["dual", "token"]))]
    to: Option<String>,
}

/// Move the fleet back: token, dual, old.
///
/// By the same rules as advance, the other way round. Also what a migration begins with, before the
/// first program that follows the phase is started: without a phase they use token locks.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
    0  the fleet is in the new phase
    1  it is not safe to go on, and the wait is over
   64  the command line is wrong
   69  Redis cannot be reached
   77  Redis refused the login, or does not permit it to this user
   78  the file with the address cannot be used
  130  ended by Ctrl-C

Examples:
  leasehold locks rollback --redis redis://localhost
  leasehold locks rollback --redis redis://localhost --to old --downtime")]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    how: How,

    /// Go back until this phase, instead of by one
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(["old", "dual"]))]
    to: Option<String>,
}

#[derive(Debug, clap::Args)]
struct How {
    #[command(flatten)]
    place: Where,

    /// How long to wait for what stands in the way; 0 looks once
    #[arg(long, default_value = "15m", value_parser = duration::parse)]
    wait: Duration,

    /// The longest timeout of any lock: for so long nobody may be seen before it is safe
    #[arg(long, default_value = "60s", value_parser = duration::parse_positive)]
    longest_timeout: Duration,

    /// Pause between two looks
    #[arg(long, default_value = "1s", value_parser = duration::parse_positive)]
    interval: Duration,

    /// Everything is down: go all the way at once, and refuse while anything is alive
    #[arg(long, conflicts_with = "force")]
    downtime: bool,

    /// Go on whatever stands in the way. Locks of both kinds may then be held by two at once
    #[arg(long)]
    force: bool,

    /// One JSON object at the end
    #[arg(long)]
    json: bool,
}

pub(super) async fn advance(args: AdvanceArgs) -> Result<ExitCode, Failure> {
    go(args.how, args.to.as_deref(), Phase::next, Phase::Token).await
}

pub(super) async fn rollback(args: RollbackArgs) -> Result<ExitCode, Failure> {
    go(args.how, args.to.as_deref(), Phase::previous, Phase::Old).await
}

async fn go(
    how: How,
    to: Option<&str>,
    step: fn(Phase) -> Option<Phase>,
    end: Phase,
) -> Result<ExitCode, Failure> {
    output::or_json(how.json, try_to_go(&how, to, step, end).await)
}

async fn try_to_go(
    how: &How,
    to: Option<&str>,
    step: fn(Phase) -> Option<Phase>,
    end: Phase,
) -> Result<ExitCode, Failure> {
    let place = how.place.connect().await?;
    let fleet = Fleet::read(&place.redis, &place.keys).await?;
    let from = fleet.phase.phase;
    let target = match to {
        Some(name) => name.parse().unwrap_or(end),
        None if how.downtime => end,
        None => step(from).unwrap_or(end),
    };
    match go_to(how, &place, fleet, target, step).await {
        Ok(fleet) => Ok(finish(how, &place, from, &fleet)),
        Err(failure) => {
            output::progress_end();
            // Where it cannot be read any more, the failure says that.
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
    // With everything down, being there already is still to be checked: workers that are not ours
    // know no phase.
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
        move_downtime(how, place, &fleet, target, deadline).await?;
        return Ok(Fleet::read(&place.redis, &place.keys).await?);
    }
    while fleet.phase.phase != target {
        let Some(next) = step(fleet.phase.phase) else {
            break;
        };
        fleet = move_one(how, place, next, deadline).await?;
    }
    Ok(fleet)
}

fn is_ahead(from: Phase, target: Phase, step: fn(Phase) -> Option<Phase>) -> bool {
    std::iter::successors(step(from), |phase| step(*phase)).any(|phase| phase == target)
}

/// Waits until it is safe and changes the phase, then waits for the processes to follow.
async fn move_one(
    how: &How,
    place: &Place,
    to: Phase,
    deadline: Instant,
) -> Result<Fleet, Failure> {
    let mut fleet = Fleet::read(&place.redis, &place.keys).await?;
    let from = fleet.phase.phase;
    let mut observation = Observation::new(from, to, how.longest_timeout);
    let mut told = String::new();
    loop {
        let verdict = if how.force {
            say_risk(from, to);
            Verdict::Safe
        } else {
            let (read, census) = place.look().await?;
            fleet = read;
            observation.judge(&fleet, &census, Instant::now())
        };
        if verdict == Verdict::Safe {
            let rule = if how.force { MoveRule::Force } else { MoveRule::Confirmed };
            match fleet.move_to(&place.redis, &place.keys, to, rule, &whoami()).await {
                Ok(_) => break,
                Err(MoveError::NotConfirmed { .. }) => {}
                Err(error) => return Err(moved_not(&error)),
            }
        }
        pause(how, place, to, &verdict, deadline, &mut told).await?;
    }
    output::say(&format!("the phase is {to} now; waiting for the processes to follow"));
    follow(how, place, deadline).await
}

/// The processes learn of the change by their next heartbeat.
async fn follow(how: &How, place: &Place, deadline: Instant) -> Result<Fleet, Failure> {
    let patience = deadline.max(Instant::now() + Duration::from_secs(15));
    loop {
        let fleet = Fleet::read(&place.redis, &place.keys).await?;
        let unconfirmed = fleet.unconfirmed().count();
        if unconfirmed == 0 || how.force {
            return Ok(fleet);
        }
        if Instant::now() >= patience {
            output::say(&format!(
                "{unconfirmed} process(es) have not confirmed yet; `leasehold locks status` shows which"
            ));
            return Ok(fleet);
        }
        output::progress(&format!("{unconfirmed} process(es) have not confirmed yet"));
        tokio::time::sleep(how.interval.min(Duration::from_millis(300))).await;
    }
}

async fn move_downtime(
    how: &How,
    place: &Place,
    first: &Fleet,
    to: Phase,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut fleet = first.clone();
    let mut told = String::new();
    loop {
        let (read, census) = place.look().await?;
        if read.phase == fleet.phase {
            fleet = read;
        }
        let verdict = Observation::judge_downtime(&fleet, &census);
        if verdict == Verdict::Safe {
            match fleet.move_to(&place.redis, &place.keys, to, MoveRule::Nobody, &whoami()).await {
                Ok(_) => return Ok(()),
                Err(MoveError::NotConfirmed { .. }) => {}
                Err(error) => return Err(moved_not(&error)),
            }
        }
        pause(how, place, to, &verdict, deadline, &mut told).await?;
    }
}

/// Shows what stands in the way, and looks again later; or ends when the time is over.
async fn pause(
    how: &How,
    place: &Place,
    to: Phase,
    verdict: &Verdict,
    deadline: Instant,
    told_before: &mut String,
) -> Result<(), Failure> {
    let told = tell(to, verdict);
    if Instant::now() >= deadline {
        output::progress_end();
        if let Verdict::Blocked { .. } = verdict
            && !how.json
        {
            let at = place.redis.time().await?;
            super::status::print_verdict(to, verdict, at, Paint::detect());
        }
        return Err(not_changed(Exit::No, "", &told, to, verdict));
    }
    if output::progress_is_seen() {
        output::progress(&told);
    } else {
        tell_once(verdict, &told, told_before);
    }
    tokio::select! {
        () = tokio::time::sleep(how.interval) => Ok(()),
        _ = tokio::signal::ctrl_c() => {
            output::progress_end();
            Err(not_changed(Exit::Interrupted, "ended by Ctrl-C, ", &told, to, verdict))
        }
    }
}

fn not_changed(exit: Exit, why: &str, told: &str, to: Phase, verdict: &Verdict) -> Failure {
    let message = format!("{why}the phase was not changed to {to}: {told}");
    Failure::new(exit, message).detail("verdict", super::status::verdict_json(to, verdict))
}

/// In a log, only what is news.
fn tell_once(verdict: &Verdict, told: &str, told_before: &mut String) {
    let kind = match verdict {
        Verdict::Blocked { by, .. } => format!("{} in the way", by.len()),
        _ => "watching".to_owned(),
    };
    if *told_before != kind {
        output::say(told);
        *told_before = kind;
    }
}

fn tell(to: Phase, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Watching { left } => {
            format!(
                "watching for another {} that nobody is in the way of {to}",
                duration::show(*left)
            )
        }
        Verdict::Blocked { by, .. } => {
            let more =
                if by.len() > 1 { format!(" and {} more", by.len() - 1) } else { String::new() };
            format!("{}{more}", by.first().map_or("something is in the way", String::as_str))
        }
        _ => "a process has not confirmed yet".to_owned(),
    }
}

fn say_risk(from: Phase, to: Phase) {
    let risk = match to {
        Phase::Dual => "a process that is paused may lose a lock that it holds",
        Phase::Token => {
            "whoever holds an old lock is not seen by those who take token locks: two may hold at once"
        }
        Phase::Old => {
            "whoever holds a token lock is not seen by those who take old locks: two may hold at once"
        }
    };
    output::say(&format!("forced from {from} to {to}: {risk}"));
}

fn moved_not(error: &MoveError) -> Failure {
    let code = match error {
        MoveError::Fault(fault) => Exit::from(fault),
        _ => Exit::No,
    };
    Failure::new(code, format!("the phase was not changed: {error}"))
}

/// Where the fleet is, for programs.
fn state(place: &Place, from: Phase, fleet: Option<&Fleet>) -> Map<String, Value> {
    let unconfirmed: Option<Vec<&str>> =
        fleet.map(|fleet| fleet.unconfirmed().map(|process| process.id.as_str()).collect());
    let state = json!({
        "prefix": place.keys.prefix(),
        "from": from.as_str(),
        "phase": fleet.map(|fleet| fleet.phase.phase.as_str()),
        "epoch": fleet.map(|fleet| fleet.phase.epoch),
        "unconfirmed": unconfirmed,
    });
    match state {
        Value::Object(state) => state,
        _ => Map::new(),
    }
}

fn finish(how: &How, place: &Place, from: Phase, fleet: &Fleet) -> ExitCode {
    output::progress_end();
    let phase = fleet.phase.phase;
    if how.json {
        output::json(&state(place, from, Some(fleet)));
    } else if from == phase {
        output::line(&format!("the phase is {phase} already"));
        if how.downtime {
            output::line(guidance::after_move(phase));
        }
    } else {
        output::line(&format!("the phase is {phase}, it was {from}"));
        output::line(guidance::after_move(phase));
    }
    ExitCode::SUCCESS
}

fn whoami() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    format!("{user}@{}", crate::commands::hostname())
}
