//! Real processes that are killed, stopped for longer than their locks last, and moved from phase
//! to phase, beside real peers. What the lock protects is a file lock of the kernel, where a
//! second holder at one moment shows.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::program::{leasehold, output};
use crate::standstill::Standstills;
use crate::support::{Peer, RedisServer, Venv, send_signal};

/// A slow machine goes on beyond it, until something was shown.
const LENGTH: Duration = Duration::from_secs(30);
const LENGTH_MAX: Duration = Duration::from_secs(200);

const TTL: Duration = Duration::from_millis(1_000);
/// The part of the ttl between the last SIGKILL of `leasehold run` and the moment when another
/// holder can have the lock.
const MARGIN: Duration = Duration::from_millis(100);
/// How often each kind has to have held, or nothing was shown.
const HELD_MIN: u64 = 6;

struct Arena {
    server: RedisServer,
    dir: tempfile::TempDir,
    standstills: Standstills,
    began: Instant,
    over: AtomicBool,
    held: AtomicU64,
}

impl Arena {
    fn new() -> Self {
        Self {
            server: RedisServer::start(),
            dir: tempfile::tempdir().unwrap(),
            standstills: Standstills::watch(),
            began: Instant::now(),
            over: AtomicBool::new(false),
            held: AtomicU64::new(0),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn goes_on(&self, was_enough: bool) -> bool {
        let elapsed = self.began.elapsed();
        elapsed < LENGTH || (!was_enough && elapsed < LENGTH_MAX)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// A command that fails the test when it runs beside another one.
    fn command(&self) -> String {
        let (kernel, bad) = (self.path("kernel"), self.path("bad"));
        // Many are longer than what is left of the ttl when their leasehold is stopped.
        let seconds = seconds(50, 2_000);
        format!(
            "flock -n -E 99 {kernel} sleep {seconds}; [ $? = 99 ] && date +%s.%N >> {bad}; exit 0"
        )
    }

    /// Programs under the lock, one after the other, each with its accident.
    fn program(&self, mechanism: Option<&str>) {
        while !self.is_over() {
            let script = self.command();
            let ttl = format!("{}ms", TTL.as_millis());
            let mut args =
                vec!["run", "--lock", "a", "--ttl", &ttl, "--grace", "50ms", "--wait", "3s"];
            if let Some(mechanism) = mechanism {
                args.extend(["--mechanism", mechanism]);
            }
            args.extend(["--", "sh", "-c", &script]);
            let mut run = leasehold(&self.server, &args)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let pid = run.id();
            std::thread::sleep(Duration::from_millis(random(0, 700)));
            match random(0, 5) {
                0 => drop(run.kill()),
                1 => {
                    send_signal(pid, "STOP");
                    std::thread::sleep(Duration::from_millis(random(100, 3_500)));
                    send_signal(pid, "CONT");
                }
                _ => {}
            }
            if run.wait().unwrap().success() {
                self.held.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Records that there was another holder at this moment.
    fn saw_another(&self) {
        let mut bad =
            std::fs::File::options().append(true).create(true).open(self.path("bad")).unwrap();
        writeln!(bad, "{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64())
            .unwrap();
    }

    fn check(&self) {
        let bad = std::fs::read_to_string(Path::new(&self.path("bad"))).unwrap_or_default();
        for line in bad.lines() {
            let at = UNIX_EPOCH + Duration::from_secs_f64(line.parse().unwrap());
            // Who is not run for longer than the margin cannot end its command in time.
            let still = self.standstills.before(at, TTL * 2);
            assert!(
                still > MARGIN,
                "two at once, at {line}; the machine stood still for {still:?}"
            );
            eprintln!("two at once, at {line}: the machine stood still for {still:?}");
        }
        let held = self.held();
        eprintln!("held {held} times");
        assert!(held >= HELD_MIN, "held {held} times only: this shows nothing");
    }
}

fn random(from: u64, to: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    from + std::collections::hash_map::RandomState::new().build_hasher().finish() % (to - from)
}

fn seconds(from_ms: u64, to_ms: u64) -> String {
    let ms = random(from_ms, to_ms);
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

#[test]
fn never_two_while_the_phase_moves_and_processes_are_killed_and_stopped() {
    let arena = Arena::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| arena.program(None));
        }
        scope.spawn(|| {
            let mut moved = 0;
            for direction in ["rollback", "rollback", "advance", "advance"].iter().cycle() {
                if !arena.goes_on(moved >= 2 && arena.held() >= HELD_MIN) {
                    break;
                }
                let args = [
                    "locks",
                    direction,
                    "--longest-timeout",
                    "700ms",
                    "--interval",
                    "50ms",
                    "--wait",
                    "8s",
                ];
                moved += u32::from(output(&arena.server, &args).status.success());
            }
            arena.over.store(true, Ordering::Relaxed);
            assert!(moved >= 2, "the phase moved {moved} times only");
        });
    });
    arena.check();
}

#[test]
fn never_two_beside_real_old_peers() {
    let arena = Arena::new();
    std::thread::scope(|scope| {
        scope.spawn(|| arena.program(Some("old")));
        scope.spawn(|| arena.program(Some("dual")));
        scope.spawn(|| {
            let mut held = 0;
            while arena.goes_on(held >= HELD_MIN && arena.held() >= HELD_MIN) {
                // A peer by another clock each time, and killed while it holds each time it is
                // unlucky.
                let mut peer = Peer::with_skew(
                    &arena.server,
                    Venv::TaskTiger012,
                    0.02 * (random(0, 3) as f64 - 1.0),
                );
                for _ in 0..random(1, 40) {
                    // Long beside what it does with it, on a busy machine too: it does not renew.
                    if peer.acquire("old", "a", 3.0) {
                        held += 1;
                        let mut flock = std::process::Command::new("flock");
                        let kernel = arena.path("kernel");
                        flock.args(["-n", "-E", "99", &kernel, "sleep", &seconds(10, 250)]);
                        let code = flock.status().unwrap().code();
                        if code == Some(99) {
                            arena.saw_another();
                        }
                        if random(0, 4) == 0 {
                            break;
                        }
                        peer.release("a");
                    }
                    std::thread::sleep(Duration::from_millis(random(1, 60)));
                }
            }
            arena.over.store(true, Ordering::Relaxed);
            assert!(held >= HELD_MIN, "the peers held {held} times only");
        });
    });
    arena.check();
}
