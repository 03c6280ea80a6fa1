//! Real processes that are killed, stopped for longer than their locks last, and moved from phase to phase, beside real
//! peers. What the lock protects is a file lock of the kernel: whoever gets in beside somebody else is seen there.

use crate::program::{leasehold, output};
use crate::support::{Peer, RedisServer, Venv, send_signal};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LENGTH: Duration = Duration::from_secs(20);

struct Arena {
    server: RedisServer,
    dir: tempfile::TempDir,
    over: AtomicBool,
    held: AtomicU64,
}

impl Arena {
    fn new() -> Self {
        Self {
            server: RedisServer::start(),
            dir: tempfile::tempdir().unwrap(),
            over: AtomicBool::new(false),
            held: AtomicU64::new(0),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// A command that fails the test when it runs beside another one.
    fn command(&self) -> String {
        let (kernel, bad) = (self.path("kernel"), self.path("bad"));
        let seconds = fastrand_seconds(50, 700);
        format!(
            "flock -n -E 99 {kernel} sleep {seconds}; [ $? = 99 ] && date +%s.%N >> {bad}; exit 0"
        )
    }

    /// Programs under the lock, one after the other, each with its accident.
    fn program(&self, mechanism: Option<&str>) {
        while !self.is_over() {
            let script = self.command();
            let mut args =
                vec!["run", "--lock", "a", "--ttl", "600ms", "--grace", "50ms", "--wait", "1s"];
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
            std::thread::sleep(Duration::from_millis(random(0, 400)));
            match random(0, 5) {
                0 => drop(run.kill()),
                1 => {
                    send_signal(pid, "STOP");
                    std::thread::sleep(Duration::from_millis(random(100, 2_000)));
                    send_signal(pid, "CONT");
                }
                _ => {}
            }
            if run.wait().unwrap().success() {
                self.held.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn check(&self) {
        let bad = std::fs::read_to_string(Path::new(&self.path("bad"))).unwrap_or_default();
        assert!(bad.is_empty(), "two at once, at {bad}");
        let held = self.held.load(Ordering::Relaxed);
        eprintln!("held {held} times");
        assert!(held > 5, "held {held} times only: this shows nothing");
    }
}

fn random(from: u64, to: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    from + std::collections::hash_map::RandomState::new().build_hasher().finish() % (to - from)
}

fn fastrand_seconds(from_ms: u64, to_ms: u64) -> String {
    format!("0.{:03}", random(from_ms, to_ms))
}

#[test]
fn never_two_while_the_phase_moves_and_processes_are_killed_and_stopped() {
    let arena = Arena::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| arena.program(None));
        }
        scope.spawn(|| {
            let ends = Instant::now() + LENGTH;
            let mut moved = 0;
            for direction in ["rollback", "rollback", "advance", "advance"].iter().cycle() {
                if Instant::now() >= ends {
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
                    "4s",
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
            let ends = Instant::now() + LENGTH;
            let mut held = 0;
            while Instant::now() < ends {
                // A peer by another clock each time, and killed while it holds each time it is unlucky.
                let mut peer = Peer::with_skew(
                    &arena.server,
                    Venv::TaskTiger012,
                    0.02 * (random(0, 3) as f64 - 1.0),
                );
                for _ in 0..random(1, 40) {
                    // Long beside what it does with it, on a busy machine too: it does not renew.
                    if peer.acquire("old", "a", 1.5) {
                        held += 1;
                        let mut flock = std::process::Command::new("flock");
                        let kernel = arena.path("kernel");
                        flock.args([
                            "-n",
                            "-E",
                            "99",
                            &kernel,
                            "sleep",
                            &fastrand_seconds(10, 250),
                        ]);
                        let code = flock.status().unwrap().code();
                        assert_ne!(code, Some(99), "a peer got in beside one of ours");
                        if random(0, 4) == 0 {
                            break;
                        }
                        peer.release("a");
                    }
                    std::thread::sleep(Duration::from_millis(random(1, 60)));
                }
            }
            arena.over.store(true, Ordering::Relaxed);
            assert!(held > 3, "the peers held {held} times only");
        });
    });
    arena.check();
}
