//! Which holders lose their leases, and when, by a clock that the tests move.

use leasehold_engine::{Acquire, Acquired, CreateLimit, Hold, LeaseFilter, LeaseId, LimitId, Page};
use leasehold_journal::MemoryJournal;
use leasehold_records::{Bounds, Records, Run, State, StateType};
use serde_json::{Map, Value};

use super::*;

const SILENCE_MAX: Span = Span::from_seconds(60);
const SECOND: Span = Span::from_seconds(1);
/// When each test begins, in microseconds. The records prune what is much older.
const BEGAN: i64 = 1_000_000_000_000;

struct World {
    ledger: Handle,
    recorder: Recorder,
    clock: Clock,
    witness: Witness,
    _running: leasehold_node::Running,
    leases: u128,
}

fn run(kind: RunKind, parent: Option<Uuid>) -> Run {
    let mut run = Run { parent, ..Run::new(Uuid::now_v7(), kind, "run".to_owned(), BEGAN) };
    run.enter(state(StateType::Running, BEGAN));
    run
}

fn state(kind: StateType, at_micros: i64) -> State {
    State {
        id: Uuid::now_v7(),
        kind,
        name: kind.usual_name().to_owned(),
        at_micros,
        message: None,
        data: Value::Null,
        details: Map::new(),
    }
}

impl World {
    async fn new() -> Self {
        let start = Timestamp::from_micros(BEGAN);
        let (ledger, running) =
            leasehold_node::start(MemoryJournal::default(), Clock::manual(start)).unwrap();
        let clock = ledger.clock().clone();
        let records = Records::in_memory(Bounds::default()).unwrap();
        let (recorder, _) = Recorder::start(records, clock.clone());
        let (witness, _) = Witness::start(ledger.clone(), recorder.clone(), SILENCE_MAX);
        ledger.create_limit(CreateLimit::new(LimitId(1), "tag:db", 100)).await.unwrap();
        Self { ledger, recorder, clock, witness, _running: running, leases: 0 }
    }

    async fn record(&self, run: &Run) -> Uuid {
        let recorded = run.clone();
        self.recorder.write(move |records| records.put_run(&recorded)).await.unwrap();
        run.id
    }

    /// Records a task run in a flow run, and grants it the tag.
    async fn task_in(&mut self, flow_run: Uuid) -> Uuid {
        let task = self.record(&run(RunKind::TaskRun, Some(flow_run))).await;
        self.hold(task, None).await;
        task
    }

    async fn hold(&mut self, task: Uuid, ttl: Option<Span>) {
        self.hold_as(RunKind::TaskRun, task, ttl).await;
    }

    async fn hold_as(&mut self, kind: RunKind, run: Uuid, ttl: Option<Span>) {
        self.leases += 1;
        let id = LeaseId(self.leases);
        let holder = Holder::new(kind.as_str(), run.to_string());
        let hold = match ttl {
            None => Hold::Holder { id, holder },
            Some(ttl) => Hold::Lease { id, holder: Some(holder), ttl, notes: None },
        };
        let acquire = Acquire::new([("tag:db", 1)], hold);
        let (acquired, undo) = self.ledger.try_acquire(acquire).await.unwrap();
        assert!(matches!(acquired, Acquired::Granted(_)));
        undo.keep();
    }

    async fn enter(&self, run: Uuid, kind: RunKind, entered: StateType) {
        self.write(run, kind, entered).await;
        self.witness.over(kind, run, entered.usual_name()).await;
    }

    /// Records that a run has entered a state.
    async fn write(&self, run: Uuid, kind: RunKind, entered: StateType) {
        let now = self.clock.now().as_micros();
        let written = self.recorder.write(move |records| {
            let mut run = records.run(kind, run)?.unwrap();
            run.enter(state(entered, now));
            records.put_run(&run)
        });
        written.await.unwrap();
    }

    async fn holders(&self) -> Vec<Uuid> {
        let filter = LeaseFilter { limit: Some("tag:db".into()), ..LeaseFilter::default() };
        let page = Page { offset: 0, limit: 1_000 };
        let leases = self.ledger.find_leases(filter, page).await.unwrap().unwrap();
        let holders = leases.iter().filter_map(|view| view.lease.holder.as_ref());
        holders.map(|holder| holder.id.parse().unwrap()).collect()
    }

    /// Lets time pass, a second at a time, until these and no others hold the tag.
    async fn until(&self, holders: &[Uuid], seconds_max: u64) {
        for _ in 0..seconds_max {
            for _ in 0..50 {
                if self.holders().await == holders {
                    return;
                }
                // The records answer in order: all requests of the watch before this one.
                self.recorder.write(|_| Ok(())).await.unwrap();
            }
            self.clock.advance(SECOND);
        }
        assert_eq!(self.holders().await, holders);
    }
}

#[tokio::test]
async fn d07_the_lease_of_a_task_that_is_over_is_repossessed_after_a_grace() {
    let mut world = World::new().await;
    let flow = world.record(&run(RunKind::FlowRun, None)).await;
    let task = world.task_in(flow).await;
    let other = world.task_in(flow).await;
    let began = world.clock.now();
    world.enter(task, RunKind::TaskRun, StateType::Failed).await;
    world.until(&[other], 30).await;
    assert!(world.clock.now().since(began) >= GRACE);
}

#[tokio::test]
async fn a_failed_task_that_runs_again_keeps_its_lease_until_it_is_over_again() {
    let mut world = World::new().await;
    let flow = world.record(&run(RunKind::FlowRun, None)).await;
    let task = world.task_in(flow).await;
    let other = world.task_in(flow).await;
    world.enter(task, RunKind::TaskRun, StateType::Failed).await;
    world.clock.advance(SECOND);
    world.write(task, RunKind::TaskRun, StateType::Running).await;
    // The other task ends later: once it has lost its lease, the watch has checked both.
    world.enter(other, RunKind::TaskRun, StateType::Completed).await;
    world.until(&[task], 30).await;
    let over = world.clock.now();
    world.enter(task, RunKind::TaskRun, StateType::Failed).await;
    world.until(&[], 30).await;
    assert!(world.clock.now().since(over) >= GRACE);
}

#[tokio::test]
async fn a_task_that_runs_again_and_is_over_again_has_its_whole_grace_again() {
    let mut world = World::new().await;
    let flow = world.record(&run(RunKind::FlowRun, None)).await;
    let task = world.task_in(flow).await;
    world.enter(task, RunKind::TaskRun, StateType::Failed).await;
    world.clock.advance(SECOND);
    world.write(task, RunKind::TaskRun, StateType::Running).await;
    world.clock.advance(SECOND);
    world.clock.advance(SECOND);
    let over = world.clock.now();
    world.enter(task, RunKind::TaskRun, StateType::Completed).await;
    world.until(&[], 30).await;
    assert!(world.clock.now().since(over) >= GRACE);
}

#[tokio::test]
async fn d07_leases_of_tasks_in_a_crashed_flow_are_repossessed_and_no_others() {
    let mut world = World::new().await;
    let flow = world.record(&run(RunKind::FlowRun, None)).await;
    let stands_for = world.record(&run(RunKind::TaskRun, Some(flow))).await;
    let subflow = world.record(&run(RunKind::FlowRun, Some(stands_for))).await;
    let other_flow = world.record(&run(RunKind::FlowRun, None)).await;
    world.task_in(flow).await;
    world.task_in(subflow).await;
    let other = world.task_in(other_flow).await;
    let stranger = Uuid::now_v7();
    world.hold(stranger, None).await;
    world.enter(flow, RunKind::FlowRun, StateType::Crashed).await;
    world.until(&[other, stranger], 30).await;
}

#[tokio::test]
async fn d07_leases_of_tasks_in_a_silent_flow_are_repossessed() {
    let mut world = World::new().await;
    let silent = world.record(&run(RunKind::FlowRun, None)).await;
    let never_heard = world.record(&run(RunKind::FlowRun, None)).await;
    world.task_in(silent).await;
    let other = world.task_in(never_heard).await;
    let began = world.clock.now();
    world.witness.heartbeat(silent).await;
    world.until(&[other], 100).await;
    assert!(world.clock.now().since(began) >= SILENCE_MAX);
}

#[tokio::test]
async fn tasks_in_a_flow_that_sends_heartbeats_keep_their_leases() {
    let mut world = World::new().await;
    let alive = world.record(&run(RunKind::FlowRun, None)).await;
    let task = world.task_in(alive).await;
    for _ in 0..5 {
        world.witness.heartbeat(alive).await;
        // Another flow crashes meanwhile: once its lease is gone, the watch has checked all
        // holders.
        let silent = world.record(&run(RunKind::FlowRun, None)).await;
        world.task_in(silent).await;
        world.enter(silent, RunKind::FlowRun, StateType::Crashed).await;
        world.until(&[task], 50).await;
    }
}

#[tokio::test]
async fn a_flow_wrongly_reported_as_over_is_still_gone_when_it_falls_silent() {
    let mut world = World::new().await;
    let flow = world.record(&run(RunKind::FlowRun, None)).await;
    world.task_in(flow).await;
    world.witness.heartbeat(flow).await;
    world.witness.over(RunKind::FlowRun, flow, "Crashed").await;
    world.until(&[], 100).await;
}

#[tokio::test]
async fn a_lease_with_a_deadline_outlives_the_flow_around_its_task() {
    let mut world = World::new().await;
    let flow = world.record(&run(RunKind::FlowRun, None)).await;
    let renews = world.record(&run(RunKind::TaskRun, Some(flow))).await;
    world.hold(renews, Some(Span::from_seconds(1_000))).await;
    world.task_in(flow).await;
    world.enter(flow, RunKind::FlowRun, StateType::Crashed).await;
    world.until(&[renews], 30).await;
    world.enter(renews, RunKind::TaskRun, StateType::Crashed).await;
    world.until(&[], 30).await;
}

#[tokio::test]
async fn a_lease_with_a_deadline_outlives_the_silence_of_its_flow_run() {
    let mut world = World::new().await;
    let flow = world.record(&run(RunKind::FlowRun, None)).await;
    world.hold_as(RunKind::FlowRun, flow, Some(Span::from_seconds(1_000))).await;
    world.task_in(flow).await;
    world.witness.heartbeat(flow).await;
    world.until(&[flow], 100).await;
    // Another flow crashes: once its lease is gone, the watch has checked all holders.
    let crashed = world.record(&run(RunKind::FlowRun, None)).await;
    world.task_in(crashed).await;
    world.enter(crashed, RunKind::FlowRun, StateType::Crashed).await;
    world.until(&[flow], 30).await;
    world.enter(flow, RunKind::FlowRun, StateType::Crashed).await;
    world.until(&[], 30).await;
}

#[tokio::test]
async fn a_time_in_which_the_server_did_not_run_is_no_silence() {
    let mut world = World::new().await;
    let flow = world.record(&run(RunKind::FlowRun, None)).await;
    let task = world.task_in(flow).await;
    world.witness.heartbeat(flow).await;
    // The process is suspended for an hour. Another flow crashes when it goes on.
    world.clock.advance(Span::from_seconds(3_600));
    let crashed = world.record(&run(RunKind::FlowRun, None)).await;
    world.task_in(crashed).await;
    world.enter(crashed, RunKind::FlowRun, StateType::Crashed).await;
    world.until(&[task], 30).await;
    world.until(&[], 100).await;
}

#[tokio::test]
async fn a_flow_that_crashes_just_before_a_sweep_is_checked_again_within_seconds() {
    let mut world = World::new().await;
    let flow = world.record(&run(RunKind::FlowRun, None)).await;
    let task = world.task_in(flow).await;
    for _ in 0..4 {
        world.clock.advance(SECOND);
        world.until(&[task], 1).await;
    }
    let crashed = world.clock.now();
    world.enter(flow, RunKind::FlowRun, StateType::Crashed).await;
    world.until(&[], 30).await;
    assert!(world.clock.now().since(crashed) <= Span::from_seconds(10));
}
