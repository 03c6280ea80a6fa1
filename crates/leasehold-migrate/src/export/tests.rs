//! The plan of an export as data.

use leasehold_engine::{Rate, Timestamp};
use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn limit(number: u128, name: &str, taken: u64) -> Limit {
    Limit {
        id: id(number),
        name: name.to_owned(),
        slots: 5,
        active: true,
        taken,
        counted_at: NOW,
        denied: 0,
        decay: Rate::NONE,
        occupancy_seconds_average: 2.0,
        created: NOW,
        updated: NOW,
    }
}

fn lease(number: u128, limit: u128, slots: u64, run: Option<u128>) -> Lease {
    Lease {
        id: id(number),
        limits: vec![id(limit)],
        slots,
        holder: run.map(|run| Holder::task_run(id(run))),
        created: NOW,
        deadline: None,
    }
}

fn with(limits: Vec<Limit>, leases: Vec<Lease>) -> Inventory {
    Inventory { limits, leases, ..Inventory::default() }
}

fn database(shape: Shape, has_lease_files: bool) -> Receiver {
    Receiver::Database { shape, has_lease_files }
}

fn ways(plan: &ExportPlan) -> Vec<&Way> {
    plan.holders.iter().map(|holder| &holder.way).collect()
}

#[test]
fn a_lease_goes_the_way_that_the_shape_has() {
    let here = with(
        vec![limit(8, "db", 2), limit(9, "tag:ocr", 1)],
        vec![lease(1, 8, 2, None), lease(2, 9, 1, Some(7))],
    );
    let made =
        |receiver, choices| plan_export(&here, &Inventory::default(), receiver, choices, NOW);
    let plan = made(database(Shape::OneTable, true), ExportChoices::default());
    assert_eq!(ways(&plan), [&Way::Lease, &Way::Lease]);
    assert_eq!([plan.limits[0].taken, plan.limits[1].taken], [Some(2), Some(1)]);
    let plan = made(database(Shape::TwoTables, true), ExportChoices::default());
    assert_eq!(ways(&plan), [&Way::Lease, &Way::TaskRun]);
    let plan = made(database(Shape::OneTable, false), ExportChoices::default());
    assert!(plan.holders.iter().all(|holder| matches!(holder.way, Way::Left(_))));
    let counted = ExportChoices { keep_counts: true, ..ExportChoices::default() };
    let plan = made(database(Shape::OneTable, false), counted);
    assert_eq!((ways(&plan), plan.limits[0].taken), (vec![&Way::Count, &Way::Count], Some(2)));
    let plan = made(database(Shape::TagsOnly, false), ExportChoices::default());
    assert!(matches!(plan.limits[0].fate, Fate::LeaveOut(_)));
    assert_eq!(ways(&plan)[1], &Way::TaskRun);
}

#[test]
fn leases_add_to_what_is_counted_there_under_the_ids_there() {
    let here = with(vec![limit(8, "db", 2)], vec![lease(1, 8, 2, None)]);
    let there = with(vec![limit(4, "db", 1)], Vec::new());
    let plan =
        plan_export(&here, &there, database(Shape::OneTable, true), ExportChoices::default(), NOW);
    let db = &plan.limits[0];
    assert_eq!((db.id, &db.fate, db.taken), (id(4), &Fate::Same, Some(3)));
    assert_eq!(plan.holders[0].source.limits, [id(4)]);
}

#[test]
fn the_same_again_adds_nothing() {
    let here = with(vec![limit(8, "db", 2)], vec![lease(1, 8, 2, None)]);
    let there = with(vec![limit(8, "db", 2)], vec![lease(1, 8, 2, None)]);
    let receiver = database(Shape::OneTable, true);
    let plan = plan_export(&here, &there, receiver, ExportChoices::default(), NOW);
    assert_eq!(ways(&plan), [&Way::Left("it is there already".to_owned())]);
    assert_eq!(plan.limits[0].taken, None);
}

#[test]
fn what_is_restored_goes_to_limits_that_are_there() {
    let here = with(
        vec![limit(8, "db", 3), limit(9, "gone", 1)],
        vec![lease(1, 8, 2, None), lease(2, 9, 1, None)],
    );
    let there = with(vec![Limit { slots: 9, ..limit(4, "db", 0) }], Vec::new());
    let choices =
        ExportChoices { on_conflict: OnConflict::Skip, only_add: true, keep_counts: true };
    let plan = plan_export(&here, &there, Receiver::Api, choices, NOW);
    assert_eq!(ways(&plan)[0], &Way::Granted);
    assert!(matches!(ways(&plan)[1], Way::Left(_)));
    assert!(matches!(plan.limits[0].fate, Fate::Skip(_)));
    assert!(matches!(plan.limits[1].fate, Fate::LeaveOut(_)));
    assert_eq!(plan.limits[0].unleased, 1);
}
