use leasehold_engine::{Command, EndReason, Ending, Gone, Holder, Lease, Outcome, Query, Renewed};

use crate::fixture::{World, granted, lease_hold, task_run};

impl World {
    /// Ends all leases of a task run. Returns them.
    fn repossess(&mut self, run: &str) -> Vec<u128> {
        let command = Command::Repossess {
            holder: task_run(run),
            with_deadline: true,
            evidence: "it failed".into(),
        };
        let Outcome::Repossessed(leases) = self.step(command) else { panic!("not repossessed") };
        leases.iter().map(|lease: &Lease| lease.id.0).collect()
    }
}

#[test]
fn d07_a_lease_without_a_deadline_ends_when_its_holder_is_known_to_be_gone() {
    let mut world = World::with("tag:db", 1);
    granted(world.tag(1, "run-1", &["tag:db"]));
    world.wait(1_000_000.0);
    assert_eq!(world.taken("tag:db"), 1);
    assert_eq!(world.repossess("run-1"), [1]);
    assert_eq!(world.taken("tag:db"), 0);
    granted(world.tag(2, "run-2", &["tag:db"]));
}

#[test]
fn d15_all_leases_of_a_holder_end_and_no_others() {
    let mut world = World::with("tag:db", 3);
    world.limit("tag:gpu", 3);
    world.limit("api", 3);
    granted(world.tag(1, "run-1", &["tag:db"]));
    granted(world.tag(2, "run-1", &["tag:db", "tag:gpu"]));
    granted(world.tag(3, "run-2", &["tag:db", "tag:gpu"]));
    let hold = lease_hold(4, Some(task_run("run-1")));
    granted(world.ask(leasehold_engine::Mode::Concurrency, &[("api", 1)], hold));
    assert_eq!(world.repossess("run-1"), [1, 2, 4]);
    assert_eq!(world.leases("tag:db"), [3]);
    assert_eq!(world.leases("tag:gpu"), [3]);
    assert_eq!(world.taken("api"), 0);
}

#[test]
fn a_lease_with_a_deadline_is_left_to_it_where_the_evidence_is_of_others() {
    let mut world = World::with("tag:db", 3);
    granted(world.tag(1, "run-1", &["tag:db"]));
    let hold = lease_hold(2, Some(task_run("run-1")));
    granted(world.ask(leasehold_engine::Mode::Concurrency, &[("tag:db", 1)], hold));
    let holder = task_run("run-1");
    world.step(Command::Repossess { holder, with_deadline: false, evidence: "silent".into() });
    assert_eq!(world.leases("tag:db"), [2]);
}

#[test]
fn a_holder_that_holds_nothing_loses_nothing_and_leaves_no_trace() {
    let mut world = World::with("tag:db", 1);
    granted(world.tag(1, "run-1", &["tag:db"]));
    world.ledger.take_changes();
    assert_eq!(world.repossess("run-2"), [0_u128; 0]);
    assert!(world.ledger.take_changes().is_empty());
    assert_eq!(world.repossess("run-1"), [1]);
    assert_eq!(world.repossess("run-1"), [0_u128; 0]);
}

#[test]
fn a_repossessed_lease_is_remembered_with_its_evidence_across_a_restart() {
    let mut world = World::with("api", 1);
    let hold = lease_hold(1, Some(task_run("run-1")));
    granted(world.ask(leasehold_engine::Mode::Concurrency, &[("api", 1)], hold));
    world.repossess("run-1");
    world.restart(5.0);
    let Renewed::Gone(Gone(Some(Ending { how, .. }))) = world.renew(1) else { panic!("alive") };
    assert_eq!(how, EndReason::Repossessed { evidence: "it failed".into() });
}

#[test]
fn holders_are_seen_once_each_in_order() {
    let mut world = World::with("tag:db", 3);
    world.limit("tag:gpu", 3);
    granted(world.tag(1, "run-2", &["tag:db"]));
    granted(world.tag(2, "run-1", &["tag:db"]));
    granted(world.tag(3, "run-1", &["tag:gpu"]));
    let Outcome::Holders(holders) = world.step(Command::Read(Query::Holders)) else {
        panic!("no holders")
    };
    assert_eq!(holders, [Holder::new("task_run", "run-1"), Holder::new("task_run", "run-2")]);
}
