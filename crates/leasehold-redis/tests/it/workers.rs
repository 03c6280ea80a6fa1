//! Real TaskTiger workers that run real tasks, while ours holds their locks, waits for them, runs
//! out and crashes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_python_json::Json;
use leasehold_redis::{
    Census, Fleet, Holder, Keys, Lock, Mechanism, Pace, Refusal, Semaphore, Wait, keyed_lock_id,
    lock_id,
};
use redis::Commands;
use serde_json::{Value, json};

use crate::support::{PATIENCE, RedisServer, Venv, now_ms, wait_for};

struct Tiger<'a> {
    server: &'a RedisServer,
    dir: tempfile::TempDir,
    workers: Vec<Child>,
}

impl<'a> Tiger<'a> {
    fn new(server: &'a RedisServer) -> Self {
        Self { server, dir: tempfile::tempdir().unwrap(), workers: Vec::new() }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn python(&self, args: &[&str]) -> Command {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
        let mut command = Command::new(Venv::TaskTiger026.python());
        command
            .arg(dir.join("tiger_tasks.py"))
            .args(args)
            .env("PYTHONPATH", &dir)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("TIGER_PORT", self.server.port.to_string()).env("TIGER_LOG", self.log());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn worker(&mut self, queue: &str, most: Option<u32>) {
        let most = most.map(|most| most.to_string());
        let mut args = vec!["worker", queue];
        args.extend(most.as_deref());
        self.workers.push(self.python(&args).spawn().unwrap());
    }

    fn delay(&self, task: &str, queue: &str, args: &Value) {
        assert!(
            self.python(&["delay", task, queue, &args.to_string()]).status().unwrap().success()
        );
    }

    fn entry(&self, task: &str, field: &str) -> Option<f64> {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter(|entry| entry["task"] == task).find_map(|entry| entry[field].as_f64())
    }

    fn began(&self, task: &str) -> bool {
        self.entry(task, "began").is_some()
    }

    fn when(&self, task: &str, field: &str) -> f64 {
        wait_for(&format!("task {task}: {field}"), || self.entry(task, field).is_some());
        self.entry(task, field).unwrap()
    }
}

impl Drop for Tiger<'_> {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn id_of(args: &Value, kwargs: &Value) -> String {
    let [args, kwargs] =
        [args, kwargs].map(|value| Json::parse(&value.to_string()).unwrap().into_owned());
    lock_id("tiger_tasks:locked", &args, &kwargs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_wait_for_our_lock_and_we_for_theirs() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut tiger = Tiger::new(&server);
    tiger.worker("default", None);
    tiger.delay("plain", "default", &json!([["warm"], {}]));
    tiger.when("warm", "ended");

    let (args, kwargs) =
        (json!(["first"]), json!({"extra": {"ключ": [1.0, null]}, "seconds": 5.0}));
    let lock = Lock::new(&redis, id_of(&args, &kwargs), Mechanism::Token);
    let guard = lock.try_acquire().await.unwrap().expect("free");
    tiger.delay("locked", "default", &json!([args, kwargs]));
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert!(!tiger.began("first"), "the task ran beside ours");
    let released = now();
    guard.release().await.unwrap();
    assert!(tiger.when("first", "began") >= released);

    assert!(lock.try_acquire().await.unwrap().is_none(), "ours got in beside the task");
    let fleet = Fleet::read(&redis, &Keys::default()).await.unwrap();
    let census =
        Census::take(&redis, &Keys::default(), &fleet, &Pace::default(), |_| {}).await.unwrap();
    let holder = census.of(Mechanism::Token).find_map(|entry| entry.holder.clone()).unwrap();
    let Holder::Task { func, queue, .. } = &holder else { panic!("{holder}") };
    assert_eq!((func.as_str(), queue.as_str()), ("tiger_tasks:locked", "default"));
    let guard = lock.acquire(Wait::AtMost(PATIENCE)).await.unwrap();
    assert!(now() >= tiger.when("first", "ended"));
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_keys_name_the_same_lock() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut tiger = Tiger::new(&server);
    tiger.worker("default", None);
    let kwargs = json!({"user": 7, "name": "keyed", "seconds": 0.1});
    let id = keyed_lock_id(
        "tiger_tasks:keyed",
        &Json::parse(&kwargs.to_string()).unwrap(),
        ["user", "absent"],
    );
    let guard =
        Lock::new(&redis, id.unwrap(), Mechanism::Token).try_acquire().await.unwrap().unwrap();
    tiger.delay("keyed", "default", &json!([[], kwargs]));
    tiger.delay("keyed", "default", &json!([[], {"user": 8, "name": "other", "seconds": 0.1}]));
    tiger.when("other", "ended");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!tiger.began("keyed"));
    let released = now();
    guard.release().await.unwrap();
    assert!(tiger.when("keyed", "began") >= released);
}

#[test]
fn a_crashed_holder_blocks_others_for_its_ttl_at_most() {
    let server = RedisServer::start();
    let mut tiger = Tiger::new(&server);
    tiger.worker("default", None);
    let (args, kwargs) = (json!(["after"]), json!({"seconds": 0.5}));
    let lock_of =
        |redis: &leasehold_redis::Redis| Lock::new(redis, id_of(&args, &kwargs), Mechanism::Token);

    // Ours crashes: with its runtime gone, nothing renews and nothing is released.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (guard, taken) = runtime.block_on(async {
        let redis = server.connect().await;
        let taken = now();
        (lock_of(&redis).ttl(Duration::from_secs(2)).try_acquire().await.unwrap().unwrap(), taken)
    });
    runtime.shutdown_background();
    drop(guard);
    tiger.delay("locked", "default", &json!([args, kwargs]));
    let began = tiger.when("after", "began");
    assert!(began >= taken + 2.0, "began {} s after", began - taken);

    // Theirs crashes while the task runs: its lock stays for its timeout after the last renewal.
    tiger.when("after", "ended");
    let kwargs = json!({"seconds": 30.0});
    tiger.delay("locked", "default", &json!([["killed"], kwargs]));
    tiger.when("killed", "began");
    let mut worker = tiger.workers.pop().unwrap();
    // The child that runs the task would go on without its worker.
    let children =
        Command::new("pgrep").args(["-P", &worker.id().to_string()]).output().unwrap().stdout;
    worker.kill().unwrap();
    worker.wait().unwrap();
    for child in String::from_utf8(children).unwrap().split_whitespace() {
        // It may have ended since.
        let _ = Command::new("kill").args(["-s", "KILL", child]).status();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let redis = server.connect().await;
        let id = id_of(&json!(["killed"]), &kwargs);
        let lock = Lock::new(&redis, &id, Mechanism::Token);
        assert!(lock.try_acquire().await.unwrap().is_none());
        let mut raw = server.raw();
        let free_at_ms: i64 = raw.pexpire_time(format!("t:lockv2:{id}")).unwrap();
        assert!(free_at_ms - now_ms(&mut raw) <= 5_000, "it expires within its timeout of 5 s");
        let guard = lock.acquire(Wait::AtMost(PATIENCE)).await.unwrap();
        assert!(now_ms(&mut raw) >= free_at_ms);
        guard.release().await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_in_a_queue_are_shared_with_workers() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut tiger = Tiger::new(&server);
    let ours = Semaphore::new(&redis, &Keys::default(), "q", "ours", 1);
    let (guard, _) = ours.try_acquire().await.unwrap().unwrap();
    tiger.worker("q", Some(1));
    tiger.delay("plain", "q", &json!([["one", 5.0], {}]));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!tiger.began("one"), "the worker took a place that ours has");
    guard.release().await.unwrap();
    tiger.when("one", "began");
    assert_eq!(ours.try_acquire().await.unwrap().unwrap_err(), Refusal::Full { count: 1 });
    let guard = ours.acquire(Wait::AtMost(PATIENCE)).await.unwrap();
    assert!(now() >= tiger.when("one", "ended"));
    guard.release().await.unwrap();
}
