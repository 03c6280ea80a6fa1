//! Acquire and release per second, ours beside redis-py's lock and TaskTiger's in the same run, on the same Redis.
//!
//! `cargo run --release -p leasehold-redis --example bench [SECONDS]`. Needs redis-server and the virtual environments
//! that the tests make.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use leasehold_redis::{Keys, Lock, Mechanism, Redis, Semaphore};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).map_or(5.0, |seconds| seconds.parse().unwrap());
    let server = Server::start();
    let theirs = |what: &str, venv: &str| theirs(&server, what, venv, seconds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = runtime
        .block_on(Redis::connect(&format!("redis://127.0.0.1:{}", server.port).parse().unwrap()))
        .unwrap();
    let length = Duration::from_secs_f64(seconds);
    let ours = |mechanism, tasks| runtime.block_on(locks(&redis, mechanism, tasks, length));

    println!("acquire + release per second, {seconds} s each");
    let peer = theirs("redis-py", "tasktiger-0.26");
    println!("{peer:>10.0}         redis-py Lock");
    report("token lock", ours(Mechanism::Token, 1), peer);
    report("token lock, 32 at a time", ours(Mechanism::Token, 32), peer);
    report("dual lock (no peer; beside redis-py's)", ours(Mechanism::Dual, 1), peer);
    let peer = theirs("old", "tasktiger-0.12");
    println!("{peer:>10.0}         TaskTiger 0.12 Lock");
    report("old lock", ours(Mechanism::Old, 1), peer);
    let peer = theirs("semaphore", "tasktiger-0.26");
    println!("{peer:>10.0}         TaskTiger 0.26 Semaphore");
    report("semaphore", runtime.block_on(semaphores(&redis, length)), peer);
}

fn report(what: &str, ours: f64, theirs: f64) {
    println!("{ours:>10.0}  {:>5.2}x  ours, {what}", ours / theirs);
}

fn theirs(server: &Server, what: &str, venv: &str, seconds: f64) -> f64 {
    let dir = std::env::var_os("LEASEHOLD_TEST_VENV_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venvs"),
        PathBuf::from,
    );
    let python = dir.join(venv).join("bin/python");
    let output = Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bench.py"))
        .args([what, &server.port.to_string(), &seconds.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| {
            panic!("{}: {error}; the tests of this crate make it", python.display())
        });
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Pairs per second of so many tasks, each with a lock of its own.
async fn locks(redis: &Redis, mechanism: Mechanism, tasks: usize, length: Duration) -> f64 {
    let started = Instant::now();
    let mut running = Vec::new();
    for task in 0..tasks {
        let lock = Lock::new(redis, format!("bench{task}"), mechanism);
        running.push(tokio::spawn(async move {
            let mut pairs = 0_u32;
            while started.elapsed() < length {
                lock.try_acquire().await.unwrap().unwrap().release().await.unwrap();
                pairs += 1;
            }
            pairs
        }));
    }
    let mut pairs = 0;
    for task in running {
        pairs += task.await.unwrap();
    }
    f64::from(pairs) / started.elapsed().as_secs_f64()
}

async fn semaphores(redis: &Redis, length: Duration) -> f64 {
    let semaphore = Semaphore::new(redis, &Keys::default(), "bench", "ours", 5);
    let started = Instant::now();
    let mut pairs = 0_u32;
    while started.elapsed() < length {
        let (guard, _) = semaphore.try_acquire().await.unwrap().unwrap();
        guard.release().await.unwrap();
        pairs += 1;
    }
    f64::from(pairs) / started.elapsed().as_secs_f64()
}
