//! Two nodes on one PostgreSQL: one owns the ledger, and the other one takes it over.
//!
//! `LEASEHOLD_TEST_KILLS` sets how many owners are killed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use fastrand::Rng;
use rustix::process::Signal;
use serde_json::json;

use super::holder::Holder;
use super::{ANSWERS_MAX, HOLDERS, SHARED, TAGS, check, setting};
use crate::postgres_server::Database;
use crate::server::program::{Home, Server, eventually, run};

/// Two nodes that share a database, each with a directory of its own.
struct Pair {
    database: Database,
    homes: [Home; 2],
    takeover: &'static str,
}

impl Pair {
    fn new(takeover: &'static str) -> Self {
        Self { database: Database::new(), homes: [Home::new(), Home::new()], takeover }
    }

    fn address(&self) -> String {
        format!("postgres://test@/{}?sslmode=disable", self.database.name)
    }

    fn with_host<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("PGHOST", self.host())
    }

    /// The folder of the database's socket.
    fn host(&self) -> PathBuf {
        self.database.server.socket().parent().unwrap().to_owned()
    }

    fn start(&self, node: usize) -> Server {
        self.start_by(node, &self.host())
    }

    /// Starts a node that finds the database in this folder.
    fn start_by(&self, node: usize, host: &Path) -> Server {
        let options = ["--journal", &self.address(), "--journal-takeover-seconds", self.takeover];
        let mut command = self.homes[node % 2].start_command(&options);
        command.args(["--page-size", "1000"]);
        command.env("PGHOST", host);
        Server::start(command)
    }
}

/// Waits until a node owns the ledger.
fn serves(node: &Server) {
    eventually("the other node serves", || {
        let answer = node.client().send("GET", "/api/health", None);
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
}

fn create_limits(node: &Server) {
    let mut client = node.client();
    for (name, slots) in SHARED {
        client.create_limit(name, slots);
    }
    for (tag, slots) in TAGS {
        client.create_limit(&format!("tag:{tag}"), slots);
    }
}

#[test]
fn owners_are_killed_and_no_lease_is_lost_or_doubled() {
    let seed = setting("LEASEHOLD_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = setting("LEASEHOLD_TEST_KILLS").unwrap_or(10);
    println!("repeat with LEASEHOLD_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let pair = Pair::new("3");
    let mut owner = pair.start(0);
    create_limits(&owner);
    let mut client = owner.client();
    let mut holders: Vec<_> =
        (0..HOLDERS).map(|number| Holder::new(number, rng.fork(), &mut client)).collect();
    drop(client);
    let mut fence_max = 0;
    for kill in 0..kills {
        let standby = pair.start(kill + 1);
        let answer = standby.client().get("/ready");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        assert_eq!(answer.json(), json!({"leasehold": "standby"}));
        let until = rng.usize(..ANSWERS_MAX);
        let (answered, answer_count) = mpsc::channel();
        let killed = thread::scope(|scope| {
            for holder in &mut holders {
                let client = owner.client();
                let answered = answered.clone();
                scope.spawn(move || holder.work_until_killed(client, &answered));
            }
            drop(answered);
            answer_count.iter().take(until).for_each(drop);
            owner.kill();
            Instant::now()
        });
        serves(&standby);
        println!("takeover {kill} took {:?}", killed.elapsed());
        fence_max = check::all(&mut standby.client(), &mut holders, fence_max);
        owner = standby;
    }
}

#[test]
fn an_owner_that_stops_hands_over_at_once_and_a_paused_one_grants_nothing_afterwards() {
    // Far longer than this test takes: what it sees is no timeout.
    let pair = Pair::new("120");
    let first = pair.start(0);
    create_limits(&first);
    let lease = first.client().acquire(&["db"], 3).json();
    let second = pair.start(1);
    first.stop();
    serves(&second);
    assert_eq!(second.client().active_slots("db"), 3, "{lease}");

    // Now with one that is paused for longer than it owns the ledger.
    second.stop();
    let pair = Pair { takeover: "3", ..pair };
    let paused = pair.start(0);
    serves(&paused);
    let standby = pair.start(1);
    paused.signal(Signal::STOP);
    serves(&standby);
    let granted = standby.client().acquire(&["db"], 9);
    assert_eq!(granted.status, 200, "{}", granted.text());
    paused.signal(Signal::CONT);
    eventually("the paused node stands by", || {
        // A connection may be closed while the node stops serving.
        let path = "/api/v2/concurrency_limits/increment-with-lease";
        let body = json!({"names": ["gpu"], "slots": 1});
        let granted = paused.client().send("POST", path, Some(&body));
        assert!(granted.is_err() || granted.is_ok_and(|answer| answer.status != 200));
        let answer = paused.client().send("GET", "/ready", None).ok()?;
        (answer.json() == json!({"leasehold": "standby"})).then_some(())
    });
    assert_eq!(standby.client().active_slots("db"), 12);
    assert_eq!(standby.client().active_slots("gpu"), 0);
}

#[test]
fn an_idle_owner_that_is_cut_off_from_the_database_answers_nothing_from_what_it_knew() {
    let pair = Pair::new("3");
    let folder = tempfile::tempdir().unwrap();
    let way = folder.path().join("way");
    symlink(pair.host(), &way).unwrap();
    let cut_off = pair.start_by(0, &way);
    create_limits(&cut_off);
    let mut client = cut_off.client();
    assert_eq!(client.active_slots("db"), 0);
    let standby = pair.start(1);

    // No new connection, and the end of the one that it has. Its clients still reach it.
    fs::remove_file(&way).unwrap();
    pair.database.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = \
         'leasehold'",
    );
    serves(&standby);
    assert_eq!(standby.client().acquire(&["db"], 3).status, 200);
    for path in ["/api/health", "/api/ready", "/api/v2/concurrency_limits/db", "/leasehold"] {
        let answer = cut_off.client().get(path);
        assert_eq!(answer.status, 503, "{path}: {}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{path}");
    }
    assert_eq!(cut_off.client().acquire(&["gpu"], 1).status, 503);
    assert_eq!(cut_off.client().get("/metrics").status, 200);

    symlink(pair.host(), &way).unwrap();
    eventually("the node that was cut off stands by", || {
        let answer = cut_off.client().send("GET", "/ready", None).ok()?;
        (answer.json() == json!({"leasehold": "standby"})).then_some(())
    });
    assert_eq!(standby.client().active_slots("db"), 3);
    assert_eq!(standby.client().active_slots("gpu"), 0);
}

#[test]
fn a_journal_is_copied_to_a_postgresql_and_back_with_its_leases() {
    let pair = Pair::new("3");
    let server = pair.homes[0].start(&[]);
    create_limits(&server);
    assert_eq!(server.client().acquire(&["db"], 3).status, 200);
    let copy = |from: &str, to: &str| {
        let mut command = pair.homes[0].leasehold(["journal", "copy", "--from", from, "--to", to]);
        pair.with_host(&mut command);
        run(command)
    };
    let data = pair.homes[0].data_dir().display().to_string();
    let back = pair.homes[1].data_dir().display().to_string();
    let refused = copy(&data, &pair.address());
    assert_eq!(refused.code, Some(75), "{refused:?}");
    server.stop();
    let copied = copy(&data, &pair.address());
    assert_eq!(copied.code, Some(0), "{copied:?}");
    assert_eq!(copy(&data, &pair.address()).code, Some(65), "the destination has a ledger");
    let server = pair.start(0);
    assert_eq!(server.client().active_slots("db"), 3);
    assert_eq!(copy(&pair.address(), &back).code, Some(75), "a server owns the source");
    server.stop();
    let copied = copy(&pair.address(), &back);
    assert_eq!(copied.code, Some(0), "{copied:?}");
    let server = pair.homes[1].start(&[]);
    assert_eq!(server.client().active_slots("db"), 3);
}

#[test]
fn a_postgresql_that_cannot_be_used_is_refused_with_what_to_do() {
    let home = Home::new();
    let check = |address: &str, code: i32, said: &str| {
        let ended = run(home.start_command(&["--journal", address]));
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
        assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
    };
    check("postgres://u@127.0.0.1:1/d", 69, "correct --journal");
    check("postgres://u:hunter2@127.0.0.1:1/d", 64, "--journal-password-file");
    check("mysql://u@h/d", 64, "postgres://");
    check("postgres://u@h/d?sslmode=x", 64, "verify-full");
}
