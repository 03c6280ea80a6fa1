//! The plan as data.

use leasehold_engine::{Rate, Timestamp};
use uuid::Uuid;

use super::*;
use crate::prefect::{Deployment, Lease, Limit};

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOW.as_micros() + seconds * 1_000_000)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn limit(number: u128, name: &str, slots: u64, taken: u64) -> Limit {
    Limit {
        id: id(number),
        name: name.to_owned(),
        slots,
        active: true,
        taken,
        counted_at: at(-10),
        denied: 0,
        decay: Rate::NONE,
        occupancy_seconds_average: 2.0,
        created: at(-1_000),
        updated: at(-10),
    }
}

fn lease(number: u128, limits: &[u128], run: Option<u128>, deadline: Option<i64>) -> Lease {
    Lease {
        id: id(number),
        limits: limits.iter().copied().map(id).collect(),
        slots: 1,
        holder: run.map(|run| Holder::task_run(id(run))),
        created: at(-100),
        deadline: deadline.map(at),
    }
}

fn with(limits: Vec<Limit>, leases: Vec<Lease>) -> Inventory {
    let runs = [(71, "RUNNING"), (72, "COMPLETED"), (73, "CRASHED")];
    let run = |(number, state): (u128, &str)| {
        let state = Some(state.to_owned());
        (Holder::task_run(id(number)), Run { name: format!("run-{number}"), state })
    };
    Inventory { limits, leases, runs: runs.map(run).into(), ..Inventory::default() }
}

fn here(limit: &Limit) -> TargetLimit {
    TargetLimit {
        id: limit.id,
        name: limit.name.clone(),
        slots: limit.slots,
        active: limit.active,
        decay_units: limit.decay.as_units(),
        leases: 0,
    }
}

fn target(limits: Vec<TargetLimit>) -> Target {
    Target { limits, leases: Vec::new() }
}

fn made(inventory: &Inventory) -> Plan {
    plan(inventory, &Target::default(), &Choices::default(), NOW)
}

fn verdicts(plan: &Plan) -> Vec<(bool, &str)> {
    plan.holders.iter().map(|holder| (holder.carried, holder.why.as_str())).collect()
}

#[test]
fn a_holder_is_carried_if_it_may_live() {
    let leases = vec![
        lease(1, &[9], Some(71), Some(60)),
        lease(2, &[9], Some(72), Some(60)),
        lease(3, &[9], Some(73), None),
        lease(4, &[9], Some(71), Some(-30)),
        lease(5, &[9], Some(99), None),
        lease(6, &[9], Some(99), Some(60)),
        lease(7, &[9], None, Some(60)),
        lease(8, &[9], Some(71), None),
    ];
    let plan = made(&with(vec![limit(9, "tag:ocr", 10, 9)], leases));
    assert_eq!(
        verdicts(&plan),
        [
            (true, "its run is RUNNING"),
            (false, "its run is COMPLETED"),
            (false, "its run is CRASHED"),
            (false, "its lease expired 30s ago"),
            (false, "there is no such run: it was deleted, or never recorded"),
            (true, "no such run is recorded; its lease lives"),
            (true, "no run is named; its lease lives"),
            (true, "its run is RUNNING"),
        ]
    );
    let ocr = &plan.limits[0];
    assert_eq!((ocr.carried, ocr.left, ocr.unknown, ocr.unleased), (4, 4, 1, 0.0));
}

#[test]
fn a_server_that_stopped_gives_its_leases_the_time_that_they_had_left() {
    let inventory = with(
        vec![limit(9, "db", 5, 2)],
        vec![lease(1, &[9], Some(71), Some(-30)), lease(2, &[9], Some(71), Some(-300))],
    );
    let choices = Choices { stopped_at: Some(at(-90)), ..Choices::default() };
    let plan = plan(&inventory, &Target::default(), &choices, NOW);
    assert_eq!(plan.holders[0].deadline, Some(at(60)));
    assert_eq!(verdicts(&plan)[1], (false, "its lease expired 3m 30s ago"));
}

#[test]
fn slots_that_nobody_is_known_to_hold_stay_behind_unless_the_operator_keeps_them() {
    let inventory = with(vec![limit(9, "db", 5, 4)], vec![lease(1, &[9], None, Some(60))]);
    let plan = made(&inventory);
    assert_eq!((plan.limits[0].unknown, plan.limits[0].unleased), (3, 0.0));
    let choices = Choices { keep_counts: true, ..Choices::default() };
    let plan = super::plan(&inventory, &Target::default(), &choices, NOW);
    assert_eq!(plan.limits[0].unleased, 3.0);
}

#[test]
fn the_level_of_a_rate_limit_is_carried_with_its_fraction() {
    let mut api = limit(9, "api", 100, 50);
    api.decay = Rate::from_slots_per_second(0.25);
    let plan = made(&with(vec![api], Vec::new()));
    let api = &plan.limits[0];
    assert_eq!((api.unleased, api.taken, api.unknown), (47.5, 48, 0));
}

#[test]
fn the_limit_of_a_deployment_stays_behind_with_its_holders() {
    let mut inventory = with(
        vec![limit(8, "deployment:5", 2, 1), limit(9, "db", 2, 0)],
        vec![lease(1, &[8], None, Some(60))],
    );
    let uses =
        |number| Deployment { id: id(5), name: "nightly".to_owned(), limit: Some(id(number)) };
    inventory.deployments = vec![uses(8), uses(9)];
    let plan = made(&inventory);
    assert!(matches!(plan.limits[0].fate, Fate::LeaveOut(_)));
    assert_eq!(verdicts(&plan), [(false, "its limit is left out")]);
    assert_eq!(plan.limits[1].deployments, ["nightly"]);
    let choices = Choices { deployment_limits: true, ..Choices::default() };
    let plan = super::plan(&inventory, &Target::default(), &choices, NOW);
    assert_eq!(plan.limits[0].fate, Fate::Create);
    assert!(plan.holders[0].carried);
}

#[test]
fn a_second_time_changes_nothing() {
    let db = limit(9, "db", 5, 2);
    let inventory = with(vec![db.clone()], vec![lease(1, &[9], Some(71), Some(60))]);
    let plan = plan(&inventory, &target(vec![here(&db)]), &Choices::default(), NOW);
    assert_eq!(plan.limits[0].fate, Fate::Same);
    assert_eq!(
        verdicts(&plan),
        [(false, "its limit is here already, with holders of its own")],
        "what ended here since must not come back"
    );
    assert!(plan.is_empty());
}

#[test]
fn a_limit_that_differs_is_a_conflict_until_the_operator_chooses() {
    let db = limit(9, "db", 5, 0);
    let inventory = with(vec![db.clone()], vec![lease(1, &[9], Some(71), Some(60))]);
    let edited = TargetLimit { slots: 7, active: false, ..here(&db) };
    let renamed = TargetLimit { name: "database".to_owned(), ..here(&db) };
    let other = TargetLimit { id: id(4), leases: 2, ..here(&db) };
    for (here, difference) in [
        (edited.clone(), vec!["5 slots there, 7 here", "active there, inactive here"]),
        (renamed, vec!["here it is named database"]),
        (
            other,
            vec![
                "another limit has this name here, 00000000-0000-0000-0000-000000000004, and 2 \
                 leases here hold the one that goes",
            ],
        ),
    ] {
        let plan = plan(&inventory, &target(vec![here]), &Choices::default(), NOW);
        assert_eq!(
            plan.limits[0].fate,
            Fate::Conflict(difference.iter().map(|&d| d.into()).collect())
        );
        assert_eq!(plan.conflicts().collect::<Vec<_>>(), ["db"]);
        assert!(plan.is_empty());
    }
    for (on_conflict, carried) in [(OnConflict::Replace, true), (OnConflict::Skip, false)] {
        let choices = Choices { on_conflict, ..Choices::default() };
        let plan = plan(&inventory, &target(vec![edited.clone()]), &choices, NOW);
        assert_eq!((plan.conflicts().count(), plan.holders[0].carried), (0, carried));
    }
}

#[test]
fn a_lease_on_two_limits_is_carried_on_those_that_are() {
    let limits = vec![limit(8, "deployment:5", 2, 1), limit(9, "db", 2, 1)];
    let plan = made(&with(limits, vec![lease(1, &[8, 9], None, Some(60))]));
    assert_eq!(plan.holders[0].on, [id(9)]);
    assert_eq!((plan.limits[0].left, plan.limits[1].carried), (1, 1));
}
