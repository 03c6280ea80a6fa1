//! What `advance` and `rollback` say: what stands in the way, the risk, and the outcome.

use std::process::ExitCode;

use leasehold_redis::{Fleet, MoveError, Phase, Verdict};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::How;
use crate::commands::locks::{Place, guidance, verdict};
use crate::exit::{Exit, Failure};
use crate::output::{self, Paint};

/// Says what stands in the way, and waits for the next look; or fails when the time is over.
pub(super) async fn pause(
    how: &How,
    place: &Place,
    to: Phase,
    verdict: &Verdict,
    deadline: Instant,
    said_before: &mut String,
) -> Result<(), Failure> {
    let obstacle = verdict::in_one_line(to, verdict);
    if Instant::now() >= deadline {
        output::progress_end();
        if let Verdict::Blocked { .. } = verdict
            && !how.json
        {
            let at = place.redis.time().await?;
            verdict::print(to, verdict, at, Paint::detect());
        }
        return Err(not_changed(Exit::No, "", &obstacle, to, verdict));
    }
    if output::progress_is_seen() {
        output::progress(&obstacle);
    } else {
        say_once(verdict, &obstacle, said_before);
    }
    tokio::select! {
        () = tokio::time::sleep(how.interval) => Ok(()),
        _ = tokio::signal::ctrl_c() => {
            output::progress_end();
            Err(not_changed(Exit::Interrupted, "ended by Ctrl-C, ", &obstacle, to, verdict))
        }
    }
}

fn not_changed(exit: Exit, why: &str, obstacle: &str, to: Phase, verdict: &Verdict) -> Failure {
    let message = format!("{why}the phase was not changed to {to}: {obstacle}");
    Failure::new(exit, message).detail("verdict", verdict::to_json(to, verdict))
}

/// In a log, says it again only if it has changed.
fn say_once(verdict: &Verdict, obstacle: &str, said_before: &mut String) {
    let kind = match verdict {
        Verdict::Blocked { by, .. } => format!("{} in the way", by.len()),
        _ => "watching".to_owned(),
    };
    if *said_before != kind {
        output::say(obstacle);
        *said_before = kind;
    }
}

pub(super) fn say_risk(from: Phase, to: Phase) {
    let risk = match to {
        Phase::Dual => "a process that is paused may lose a lock that it holds",
        Phase::Token => "token locks do not exclude old locks: two may hold one lock at once",
        Phase::Old => "old locks do not exclude token locks: two may hold one lock at once",
    };
    output::say(&format!("forced from {from} to {to}: {risk}"));
}

pub(super) fn moved_not(error: &MoveError) -> Failure {
    let code = match error {
        MoveError::Fault(fault) => Exit::from(fault),
        _ => Exit::No,
    };
    Failure::new(code, format!("the phase was not changed: {error}"))
}

/// The state of the fleet, as JSON.
pub(super) fn state(place: &Place, from: Phase, fleet: Option<&Fleet>) -> Map<String, Value> {
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

pub(super) fn finish(how: &How, place: &Place, from: Phase, fleet: &Fleet) -> ExitCode {
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
