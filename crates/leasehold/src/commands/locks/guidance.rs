//! What the locks that workers leave say about the workers, and what to do next: the recipe's
//! steps, measured.

use leasehold_redis::{Census, Fleet, Mechanism};

/// Where the fleet stands, judged by the live locks: those of workers that are not ours too.
pub(super) fn workers(census: &Census) -> &'static str {
    let live = |mechanism| census.count(mechanism) > 0;
    match (live(Mechanism::Old), live(Mechanism::Dual), live(Mechanism::Token)) {
        (false, false, false) => "no lock is held",
        (true, false, false) => "all locks are old locks",
        (true, true, false) => "some workers use old locks and some use both",
        (false, true, false) => "all workers use both locks",
        (false, true, true) => "some workers use both locks and some use token locks",
        (false, false, true) => "all locks are token locks",
        (true, _, true) => {
            "DANGER: old and token locks are both in use, and do not exclude each other"
        }
    }
}

/// The next step for workers that are not ours.
pub(super) fn next_step(fleet: &Fleet, census: &Census) -> String {
    if fleet.phase.epoch > 0 && fleet.phase.phase.next().is_none() {
        return at_the_end(census).to_owned();
    }
    let live = |mechanism| census.count(mechanism) > 0;
    match (live(Mechanism::Old), live(Mechanism::Dual), live(Mechanism::Token)) {
        (true, _, true) => {
            "stop the workers with token locks (TaskTiger 0.13 and later) until no old lock is left".to_owned()
        }
        (true, false, false) => {
            "deploy the step between (both locks) to every worker; TaskTiger: commit cf600449".to_owned()
        }
        (true, true, false) => "deploy both locks to the workers that are left, then wait for their old locks".to_owned(),
        (false, true, false) => {
            "`leasehold redis locks advance --to token` watches until no old lock is left; then deploy token locks".to_owned()
        }
        (false, true, true) => "go on deploying token locks (TaskTiger 0.13 and later)".to_owned(),
        (false, false, true) if census.old.dead > census.old.dead_with_ttl => {
            "`leasehold redis locks cleanup` gives the dead old keys a TTL".to_owned()
        }
        (false, false, true) => "nothing is left to do".to_owned(),
        (false, false, false) if fleet.alive().next().is_none() => {
            "workers at zero? `leasehold redis locks advance --downtime` checks it; then deploy token locks".to_owned()
        }
        (false, false, false) => "`leasehold redis locks advance` goes on".to_owned(),
    }
}

/// The next step when the fleet is in the last phase.
fn at_the_end(census: &Census) -> &'static str {
    let live = |mechanism| census.count(mechanism) > 0;
    if live(Mechanism::Old) {
        "stop the workers with old locks (TaskTiger up to 0.12): token locks do not exclude them"
    } else if live(Mechanism::Dual) {
        "go on deploying token locks (TaskTiger 0.13 and later)"
    } else if census.old.dead > census.old.dead_with_ttl {
        "when every worker has token locks: `leasehold redis locks cleanup` gives the dead old keys a TTL"
    } else {
        "nothing is left to do"
    }
}

/// What to do with workers that are not ours once the phase has changed.
pub(super) fn after_move(phase: Mechanism) -> &'static str {
    match phase {
        Mechanism::Old => "workers that are not ours: TaskTiger up to 0.12",
        Mechanism::Dual => {
            "workers that are not ours: deploy both locks to every one (TaskTiger: commit cf600449)"
        }
        Mechanism::Token => {
            "workers that are not ours: deploy token locks now (TaskTiger 0.13 and later)"
        }
    }
}
