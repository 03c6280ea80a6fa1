//! Thousands of schedules, each from a seed: the crate's own code and its own scripts on a store in
//! memory, with virtual time, a bad network, crashes, pauses longer than a lock, peers with skewed
//! clocks, and an operator who moves the phase. At no moment do two holders have one lock.
//!
//! `LEASEHOLD_SIM_SEED=n` runs that schedule alone; `LEASEHOLD_SIM_SCHEDULES=n` runs so many of
//! each kind.

mod network;
mod peers;
mod referee;
mod store;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::acquiring::Wait;
use crate::census::Census;
use crate::fleet::{Fleet, MoveRule};
use crate::follower::{Follower, FollowerOptions};
use crate::keys::Keys;
use crate::lock::Lock;
use crate::observation::{Observation, Verdict};
use crate::phase::{Mechanism, Phase};
use crate::redis_connection::Redis;
use crate::walk::Pace;
use network::{Line, Weather};
use referee::{Claim, Referee};
use store::Server;

const IDS: [&str; 2] = ["a", "b"];
const VIRTUAL_TIME: Duration = Duration::from_secs(8);

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    match number("LEASEHOLD_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("LEASEHOLD_SIM_SCHEDULES").unwrap_or(1_000)).collect(),
    }
}

/// Runs one schedule per seed; a failure names its seed.
fn each_seed<F: Future<Output = Arc<World>>>(schedule: fn(u64) -> F) {
    let mut grants = 0;
    let mut moves = 0;
    for seed in seeds() {
        let outcome = std::panic::catch_unwind(|| {
            fastrand::seed(seed);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let world = runtime.block_on(schedule(seed));
            runtime.shutdown_background();
            world
        });
        match outcome {
            Ok(world) => {
                assert!(!world.is_spoilt(), "seed {seed}: a task panicked, see above");
                grants += world.referee.grants();
                moves += *world.moves.lock().unwrap();
            }
            Err(panic) => {
                eprintln!("LEASEHOLD_SIM_SEED={seed} shows it again");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{grants} grants, {moves} changes of the phase");
    assert!(grants > 0, "schedules without a grant show nothing");
}

struct World {
    server: Arc<Server>,
    referee: Referee,
    weather: Weather,
    ttl: Duration,
    ends: Instant,
    moves: std::sync::Mutex<u64>,
    spoilt: std::sync::atomic::AtomicBool,
}

impl World {
    fn new() -> Arc<Self> {
        let ttl = Duration::from_millis(fastrand::u64(150..600));
        Arc::new(Self {
            server: Arc::new(Server::start()),
            referee: Referee::default(),
            weather: Weather {
                slow: fastrand::u8(..15),
                lost: fastrand::u8(..8),
                slowest: ttl * 2,
            },
            ttl,
            ends: Instant::now() + VIRTUAL_TIME,
            moves: std::sync::Mutex::new(0),
            spoilt: std::sync::atomic::AtomicBool::new(false),
        })
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    fn is_spoilt(&self) -> bool {
        self.spoilt.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Runs beside the others; a panic spoils the world instead of going unnoticed.
    fn spawn(
        self: &Arc<Self>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let world = Arc::clone(self);
        tokio::spawn(async move {
            if tokio::spawn(task).await.is_err_and(|error| error.is_panic()) {
                world.spoilt.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        })
    }
}

/// Holds a lock for a while, believes it for as long as the guard says so, and ends in one of three
/// ways.
async fn hold(world: &Arc<World>, lock: &Lock, id: &str, who: &str) {
    let wait =
        if fastrand::bool() { Wait::No } else { Wait::AtMost(world.ttl * fastrand::u32(1..4)) };
    // Now and then the caller gives up in the middle.
    let patience =
        if fastrand::u8(..5) == 0 { world.ttl.mul_f64(fastrand::f64()) } else { world.ttl * 20 };
    let Ok(Ok(guard)) = timeout(patience, lock.acquire(wait)).await else {
        return;
    };
    let guard = Arc::new(guard);
    let number = world.referee.claim(id, who, Claim::Ours(Arc::clone(&guard)));
    let length = world.ttl.mul_f64(fastrand::f64() * 4.0);
    tokio::select! {
        biased;
        _ = guard.lost() => {}
        () = sleep(length) => {}
    }
    world.referee.withdraw(id, number);
    let guard = Arc::into_inner(guard).unwrap();
    match fastrand::u8(..4) {
        0 => guard.crash(),
        1 => drop(guard),
        _ => drop(guard.release().await),
    }
}

/// A process that comes and goes; `lock` makes its locks anew in each of its lives.
async fn live(world: Arc<World>, name: String, lock: impl AsyncLockMaker) {
    while !world.is_over() {
        let line = Line::new(Arc::clone(&world.server), world.weather);
        let life = world.ttl.mul_f64(fastrand::f64() * 20.0);
        let born = Instant::now();
        let maker = lock.begin(line.redis()).await;
        while born.elapsed() < life && !world.is_over() {
            if fastrand::u8(..8) == 0 {
                line.silence(world.ttl.mul_f64(fastrand::f64() * 8.0));
            }
            let id = IDS[fastrand::usize(..IDS.len())];
            if let Some(lock) = maker.as_ref().map(|maker| maker(id, world.ttl)) {
                hold(&world, &lock, id, &name).await;
            }
            sleep(world.ttl.mul_f64(fastrand::f64())).await;
        }
        sleep(world.ttl.mul_f64(fastrand::f64())).await;
    }
}

type LockMaker = Box<dyn Fn(&str, Duration) -> Lock + Send + Sync>;

trait AsyncLockMaker: Send + 'static {
    fn begin(&self, redis: Redis) -> impl Future<Output = Option<LockMaker>> + Send;
}

/// Locks of a fixed mechanism.
struct Fixed(Mechanism);

impl AsyncLockMaker for Fixed {
    async fn begin(&self, redis: Redis) -> Option<LockMaker> {
        let mechanism = self.0;
        Some(Box::new(move |id, ttl| Lock::new(&redis, id, mechanism).ttl(ttl)))
    }
}

/// Locks that follow the phase.
struct Following;

impl AsyncLockMaker for Following {
    async fn begin(&self, redis: Redis) -> Option<LockMaker> {
        let mut options = FollowerOptions::new("simulated", "nowhere");
        options.heartbeat = Duration::from_millis(fastrand::u64(20..200));
        options.gone_after = options.heartbeat * 3;
        options.longest_ttl = Duration::from_millis(10);
        let follower = Follower::join(&redis, Keys::default(), options).await.ok()?;
        Some(Box::new(move |id, ttl| Lock::following(&follower, id).ttl(ttl)))
    }
}

/// Moves the phase to one end and then to the other by the rules, with pauses of any length between
/// looking and moving.
async fn operate(world: Arc<World>) {
    let mut forward = fastrand::bool();
    while !world.is_over() {
        let redis = Line::new(Arc::clone(&world.server), world.weather).redis();
        sleep(world.ttl.mul_f64(fastrand::f64() * 0.5)).await;
        let Ok(fleet) = Fleet::read(&redis, &Keys::default()).await else {
            continue;
        };
        let from = fleet.phase.phase;
        let Some(to) = (if forward { from.next() } else { from.previous() }) else {
            forward = !forward;
            continue;
        };
        let mut observation = Observation::new(from, to, world.ttl);
        // An operator who gives up in the middle leaves nothing half done.
        let patience = world.ttl.mul_f64(fastrand::f64() * 12.0);
        let moving = move_when_safe(&redis, from, to, &mut observation, world.ttl);
        if let Ok(true) = timeout(patience, moving).await {
            *world.moves.lock().unwrap() += 1;
        }
    }
}

async fn move_when_safe(
    redis: &Redis,
    from: Phase,
    to: Phase,
    observation: &mut Observation,
    ttl: Duration,
) -> bool {
    let keys = Keys::default();
    loop {
        sleep(ttl.mul_f64(fastrand::f64() * 0.1)).await;
        let Ok(fleet) = Fleet::read(redis, &keys).await else {
            continue;
        };
        if fleet.phase.phase != from {
            return false;
        }
        let Ok(census) = Census::take(redis, &keys, &fleet, &Pace::default(), |_| {}).await else {
            continue;
        };
        if observation.judge(&fleet, &census, Instant::now()) == Verdict::Safe {
            if fastrand::u8(..4) == 0 {
                sleep(ttl.mul_f64(fastrand::f64() * 2.0)).await;
            }
            return fleet.move_to(redis, &keys, to, MoveRule::Confirmed, "simulated").await.is_ok();
        }
    }
}

async fn phases_schedule(_seed: u64) -> Arc<World> {
    let world = World::new();
    let first = Mechanism::ALL[fastrand::usize(..3)];
    let line =
        Line::new(Arc::clone(&world.server), Weather { slow: 0, lost: 0, slowest: Duration::ZERO });
    let fleet = Fleet::read(&line.redis(), &Keys::default()).await.unwrap();
    fleet
        .move_to(&line.redis(), &Keys::default(), first, MoveRule::NoneAlive, "simulated")
        .await
        .unwrap();
    let mut tasks = vec![world.spawn(operate(Arc::clone(&world)))];
    for number in 0..fastrand::usize(2..5) {
        tasks.push(world.spawn(live(Arc::clone(&world), format!("process {number}"), Following)));
    }
    for task in tasks {
        task.await.unwrap();
    }
    world
}

async fn mechanisms_schedule(seed: u64) -> Arc<World> {
    let world = World::new();
    let beside_dual = if seed.is_multiple_of(2) { Mechanism::Old } else { Mechanism::Token };
    let mut tasks = Vec::new();
    for number in 0..fastrand::usize(2..4) {
        let mechanism = if fastrand::bool() { Mechanism::Dual } else { beside_dual };
        tasks.push(world.spawn(live(
            Arc::clone(&world),
            format!("{mechanism} {number}"),
            Fixed(mechanism),
        )));
    }
    for _ in 0..fastrand::usize(..3) {
        let peer = peers::Peer::new(&world, beside_dual);
        tasks.push(world.spawn(peer.live()));
    }
    for task in tasks {
        task.await.unwrap();
    }
    world
}

#[test]
fn never_two_holders_while_the_phase_moves() {
    each_seed(phases_schedule);
}

#[test]
fn never_two_holders_among_mechanisms_that_exclude() {
    each_seed(mechanisms_schedule);
}

/// The referee can fail: old and token do not exclude each other.
#[test]
fn two_holders_among_mechanisms_that_do_not_exclude_are_seen() {
    async fn schedule(_seed: u64) -> Arc<World> {
        let world = World::new();
        let tasks = [Mechanism::Old, Mechanism::Token].map(|mechanism| {
            world.spawn(live(Arc::clone(&world), mechanism.to_string(), Fixed(mechanism)))
        });
        for task in tasks {
            task.await.unwrap();
        }
        world
    }
    let is_seen = (0..20).any(|seed| {
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(schedule(seed)).is_spoilt()
    });
    assert!(is_seen);
}
