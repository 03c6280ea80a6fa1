//! Damage is never silent: a journal that lost what was acknowledged is not served, and neither is
//! one whose files are gone.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::Connection;
use serde_json::Value;

use crate::server::program::{Ended, Home, Server, run};

const FLIPS: u64 = 12;

fn wal(home: &Home) -> PathBuf {
    home.data_dir().join("leasehold.db-wal")
}

/// A server that was killed after it acknowledged some leases.
fn killed(leases: usize) -> Home {
    let home = Home::new();
    let mut server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 1_000);
    for _ in 0..leases {
        assert_eq!(client.acquire(&["db"], 1).status, 200);
    }
    server.kill();
    home
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn refuses(home: &Home, code: i32, words: &[&str]) -> Ended {
    let ended = run(home.start_command(&[]));
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "no '{word}' in {ended:?}");
    }
    ended
}

#[test]
fn a_flipped_bit_in_the_write_ahead_log_is_never_silent() {
    let home = killed(20);
    let whole = home.path("whole");
    copy(&home.data_dir(), &whole);
    let length = fs::metadata(wal(&home)).unwrap().len();
    for flip in 0..FLIPS {
        fs::remove_dir_all(home.data_dir()).unwrap();
        copy(&whole, &home.data_dir());
        let at = length * flip / FLIPS + 9;
        let file = fs::File::options().read(true).write(true).open(wal(&home)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
        refuses(&home, 65, &["were acknowledged", "--accept-loss"]);
    }
    // The operator decides.
    let server = home.start(&["--accept-loss"]);
    assert!(server.client().active_slots("db") < 20);
    let log = server.stop();
    assert!(log.contains("holds less than was acknowledged"), "{log}");
    home.start(&[]).stop();
}

/// Everything that a server says of its limits and leases.
fn picture(server: &Server) -> Value {
    let mut client = server.client();
    let limits = client.post("/api/v2/concurrency_limits/filter", &serde_json::json!({})).json();
    let leases = client.get("/api/leases").json();
    let mut tokens = Vec::new();
    for lease in leases.as_array().unwrap() {
        tokens.push(serde_json::json!([
            lease["id"],
            lease["fencing_token"],
            lease["holder"],
            lease["labels"],
            lease["limits"],
            lease["created"],
        ]));
    }
    let mut named = Vec::new();
    for limit in limits.as_array().unwrap() {
        let fields = ["id", "name", "limit", "active", "active_slots", "slot_decay_per_second"];
        named.push(fields.map(|field| limit[field].clone()));
    }
    serde_json::json!([named, tokens])
}

#[test]
fn a_flipped_bit_in_the_database_is_noticed_or_changes_nothing() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    for name in ["db", "gpu", "tag:etl"] {
        client.create_limit(name, 9);
    }
    for name in ["db", "gpu", "db", "tag:etl"] {
        let body = serde_json::json!({
            "limits": [{"name": name}], "ttl_seconds": 3600,
            "holder": {"kind": "host", "id": name, "labels": {"team": "data"}},
        });
        let answer = client.post("/api/leases", &body);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let before = picture(&server);
    server.stop();
    let whole = home.path("whole");
    copy(&home.data_dir(), &whole);
    let database = home.data_dir().join("leasehold.db");
    let length = fs::metadata(&database).unwrap().len();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut noticed = 0;
    let flips = std::env::var("LEASEHOLD_TEST_FLIPS").map_or(40, |flips| flips.parse().unwrap());
    for _ in 0..flips {
        fs::remove_dir_all(home.data_dir()).unwrap();
        copy(&whole, &home.data_dir());
        let file = fs::File::options().read(true).write(true).open(&database).unwrap();
        // Most of a page is empty: where there is nothing, nothing can be lost.
        let (at, byte) = loop {
            let (at, mut byte) = (rng.u64(..length), [0]);
            file.read_exact_at(&mut byte, at).unwrap();
            if byte[0] != 0 {
                break (at, byte[0]);
            }
        };
        let bit = 1 << rng.u8(..8);
        file.write_all_at(&[byte ^ bit], at).unwrap();
        let mut command = home.start_command(&[]);
        command.args(["--log-level", "error"]);
        let mut server = match Server::try_start(command) {
            Ok(server) => server,
            Err(ended) => {
                assert!(matches!(ended.code, Some(65 | 76)), "byte {at}, bit {bit}: {ended:?}");
                noticed += 1;
                continue;
            }
        };
        assert_eq!(picture(&server), before, "byte {at}, bit {bit}");
        server.kill();
    }
    assert!(noticed > 0);
}

#[test]
fn an_older_copy_in_the_place_of_the_journal_is_not_served_by_itself() {
    let home = Home::new();
    let server = home.start(&[]);
    server.client().create_limit("db", 10);
    server.stop();
    let database = home.data_dir().join("leasehold.db");
    let older = home.path("older.db");
    fs::copy(&database, &older).unwrap();
    let server = home.start(&[]);
    server.client().acquire(&["db"], 1);
    server.stop();
    fs::copy(&older, &database).unwrap();
    refuses(&home, 65, &["older copy", "--accept-loss"]);
    // A backup that was restored whole has nothing that contradicts it.
    fs::remove_file(home.data_dir().join("leasehold.acknowledged")).unwrap();
    home.start(&[]).stop();
}

/// Takes a server's files away while it runs. Answers what it logged.
fn loses_its_files(damage: impl FnOnce(&Home)) -> String {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 5);
    assert_eq!(client.acquire(&["db"], 1).status, 200);
    damage(&home);
    for _ in 0..3 {
        let refused = client.acquire(&["db"], 1);
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.header("retry-after").is_some());
    }
    let mut server = server;
    server.kill();
    let (_, log) = server.wait(std::time::Duration::from_secs(10));
    assert!(log.contains("is not the file that was opened"), "{log}");
    log
}

#[test]
fn a_server_whose_files_are_gone_grants_nothing() {
    loses_its_files(|home| fs::remove_dir_all(home.data_dir()).unwrap());
    loses_its_files(|home| fs::rename(home.data_dir(), home.path("elsewhere")).unwrap());
    loses_its_files(|home| fs::remove_file(wal(home)).unwrap());
    loses_its_files(|home| fs::File::create(wal(home)).map(drop).unwrap());
    loses_its_files(|home| fs::remove_file(home.data_dir().join("leasehold.lock")).unwrap());
    let log = loses_its_files(|home| {
        let database = home.data_dir().join("leasehold.db");
        let other = home.path("other.db");
        fs::copy(&database, &other).unwrap();
        fs::rename(other, database).unwrap();
    });
    assert!(log.contains("leasehold.db"), "{log}");
}

#[test]
fn files_that_are_put_back_are_used_again() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 5);
    let away = home.path("away");
    fs::rename(home.data_dir(), &away).unwrap();
    assert_eq!(client.acquire(&["db"], 1).status, 503);
    fs::rename(&away, home.data_dir()).unwrap();
    assert_eq!(client.acquire(&["db"], 1).status, 200);
    server.stop();
    let server = home.start(&[]);
    assert_eq!(server.client().active_slots("db"), 1);
}

#[test]
fn one_database_is_never_served_twice_whatever_its_paths() {
    let home = Home::new();
    let server = home.start(&[]);
    server.client().create_limit("db", 5);
    // The lock is gone, as after somebody tidied up.
    fs::remove_file(home.data_dir().join("leasehold.lock")).unwrap();
    refuses(&home, 75, &["another server"]);
    let linked = home.path("linked");
    fs::create_dir(&linked).unwrap();
    fs::hard_link(home.data_dir().join("leasehold.db"), linked.join("leasehold.db")).unwrap();
    let mut command = home.leasehold(["server", "start", "--port", "0", "--data-dir"]);
    command.arg(&linked);
    let ended = run(command);
    assert_eq!(ended.code, Some(75), "{ended:?}");
}

#[test]
fn a_lock_that_is_no_file_does_not_hang_the_start() {
    let home = Home::new();
    fs::create_dir(home.data_dir()).unwrap();
    let fifo = home.data_dir().join("leasehold.lock");
    assert_eq!(run(home.command("mkfifo", [fifo])).code, Some(0));
    let began = Instant::now();
    refuses(&home, 73, &["leasehold.lock", "not a regular file"]);
    assert!(began.elapsed().as_secs() < 5);
}

#[test]
fn a_database_that_another_program_writes_to_is_not_called_damaged() {
    for file in ["leasehold.db", "records.db"] {
        let home = Home::new();
        home.start(&[]).stop();
        let connection = Connection::open(home.data_dir().join(file)).unwrap();
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;").unwrap();
        refuses(&home, 75, &["another program writes to", file]);
    }
}

#[test]
fn a_clock_that_was_ahead_once_is_put_right_at_the_next_start() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 5);
    let lease = client.acquire(&["db"], 1).json();
    server.stop();
    // As a start ten years ahead leaves it.
    let connection = Connection::open(home.data_dir().join("leasehold.db")).unwrap();
    let years = 10_i64 * 365 * 86_400 * 1_000_000;
    leasehold_sqlite::add_row_sum(&connection).unwrap();
    for sql in [
        "UPDATE ledger SET at_micros = at_micros + ?1",
        "UPDATE ledger SET sum = row_sum(at_micros, next_fence, commits, limits, leases) + 0 * ?1",
        "UPDATE leases SET created_micros = created_micros + ?1, deadline_micros = deadline_micros + ?1",
        "UPDATE leases SET sum = row_sum(fence, id, holder_kind, holder_id, holdings, created_micros,
             deadline_micros, notes, origin) + 0 * ?1",
    ] {
        connection.execute(sql, [years]).unwrap();
    }
    drop(connection);
    let server: Server = home.start(&[]);
    let path = format!("/api/leases/{}", lease["lease_id"].as_str().unwrap());
    let kept: Value = server.client().get(&path).json();
    let years_of = |deadline: &Value| deadline.as_str().unwrap()[..4].to_owned();
    assert_eq!(years_of(&kept["deadline"]), years_of(&lease["deadline"]));
    assert_eq!(kept["fencing_token"], lease["fencing_token"]);
    let log = server.stop();
    assert!(log.contains("clock that was ahead"), "{log}");
}
