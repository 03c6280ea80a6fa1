//! `leasehold migrate prefect` on databases with the tables of Prefect that it reads. The tests of
//! the gateway do the same with real Prefect servers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::RedisServer;

const SCHEMA: &str = "
    CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
    CREATE TABLE concurrency_limit (id CHAR(36) PRIMARY KEY, created TIMESTAMP, updated TIMESTAMP,
        tag VARCHAR NOT NULL UNIQUE, concurrency_limit INTEGER NOT NULL, active_slots JSON);
    CREATE TABLE concurrency_limit_v2 (id CHAR(36) PRIMARY KEY, created TIMESTAMP,
        updated TIMESTAMP, active BOOLEAN NOT NULL, name VARCHAR NOT NULL UNIQUE,
        \"limit\" INTEGER NOT NULL, active_slots INTEGER NOT NULL, denied_slots INTEGER NOT NULL,
        slot_decay_per_second FLOAT NOT NULL, avg_slot_occupancy_seconds FLOAT NOT NULL);
    CREATE TABLE deployment (id CHAR(36) PRIMARY KEY, name VARCHAR, concurrency_limit_id CHAR(36));
    CREATE TABLE flow_run (id CHAR(36) PRIMARY KEY, name VARCHAR, deployment_id CHAR(36),
        state_id CHAR(36), state_type VARCHAR);
    CREATE TABLE flow_run_state (id CHAR(36) PRIMARY KEY, state_details JSON, timestamp TIMESTAMP);
    CREATE TABLE task_run (id CHAR(36) PRIMARY KEY, name VARCHAR, state_type VARCHAR);";

/// An id that ends in this number.
fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

struct Prefect {
    home: TempDir,
    connection: Connection,
}

impl Prefect {
    /// The database of a stopped server with two limits and the runs of two holders.
    fn new(revision: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let connection = Connection::open(home.path().join("prefect.db")).unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let now = "'2026-01-01 00:00:00.000000'";
        let rows = format!(
            "INSERT INTO alembic_version VALUES ('{revision}');
             INSERT INTO concurrency_limit_v2 VALUES
               ('{}', {now}, {now}, 1, 'db', 5, 4, 7, 0.0, 12.5),
               ('{}', {now}, {now}, 1, 'deployment:{}', 2, 1, 0, 0.0, 2.0);
             INSERT INTO deployment VALUES ('{}', 'nightly', '{}');
             INSERT INTO task_run VALUES ('{}', 'live', 'RUNNING'), ('{}', 'dead', 'CRASHED');
             INSERT INTO flow_run VALUES ('{}', 'of-nightly', '{}', '{}', 'RUNNING');
             INSERT INTO flow_run_state VALUES
               ('{}', '{{\"deployment_concurrency_lease_id\": \"{}\"}}', {now});",
            id(1),
            id(2),
            id(30),
            id(30),
            id(2),
            id(71),
            id(72),
            id(80),
            id(30),
            id(81),
            id(81),
            id(93),
        );
        connection.execute_batch(&rows).unwrap();
        Self { home, connection }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("prefect.db")
    }

    fn url(&self) -> String {
        format!("sqlite:///{}", self.path().display())
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        let data_dir = self.data_dir();
        let mut program = Command::new(env!("CARGO_BIN_EXE_leasehold"));
        program.args(["migrate", "prefect", command, "--output", "json"]).args(arguments);
        program.env("LEASEHOLD_DATA_DIR", data_dir).env("LEASEHOLD_PREFECT", self.url());
        program.output().unwrap()
    }

    fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }
}

/// A lease as Prefect stores it.
fn lease(number: u32, limit: u32, task_run: Option<u32>, expires: &str) -> String {
    let holder = task_run
        .map(|run| format!(", \"holder\": {{\"type\": \"task_run\", \"id\": \"{}\"}}", id(run)));
    format!(
        "{{\"id\": \"{}\", \"resource_ids\": [\"{}\"], \"metadata\": {{\"slots\": 1{}}}, \
         \"expiration\": \"{expires}\", \"created_at\": \"2026-01-01T00:00:00+00:00\"}}",
        id(number),
        id(limit),
        holder.unwrap_or_default()
    )
}

fn answer(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}{text}", output.status);
    serde_json::from_str(&text).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// The verdict on each lease, by the number that its id ends in.
fn verdicts(answer: &Value) -> Vec<(u32, String)> {
    let holders = answer["plan"]["holders"].as_array().unwrap();
    let verdict = |it: &Value| {
        let number = it["lease"].as_str().unwrap()[24..].parse().unwrap();
        (number, format!("{} {}", it["carried"], it["why"].as_str().unwrap()))
    };
    let mut verdicts: Vec<_> = holders.iter().map(verdict).collect();
    verdicts.sort();
    verdicts
}

const FAR: &str = "2026-06-01T00:00:00+00:00";
const NEVER: &str = "2125-12-31T00:00:00+00:00";

#[tokio::test]
async fn leases_in_redis_are_carried_with_what_is_known_of_their_runs() {
    let redis = RedisServer::start();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let prefect = Prefect::new("27d8f4e1a6c9");
    for (number, text) in [
        (90, lease(90, 1, Some(71), NEVER)),
        (91, lease(91, 1, Some(72), NEVER)),
        (92, lease(92, 1, None, FAR)),
        (93, lease(93, 2, None, FAR)),
        (94, "no JSON".to_owned()),
    ] {
        let key = format!("prefect:concurrency:lease:{}", id(number));
        let _: () =
            redis::cmd("SET").arg(key).arg(text).query_async(&mut connection).await.unwrap();
    }
    let leases = ["--leases", &redis.url(), "--stopped-at", "2026-01-01T00:01:00Z"];
    let answer = answer(&prefect.run("import", &leases));
    assert_eq!(
        verdicts(&answer),
        [
            (90, "true its run is RUNNING".to_owned()),
            (91, "false its run is CRASHED".to_owned()),
            (92, "true no run is named; its lease lives".to_owned()),
            (93, "false its limit is left out".to_owned()),
        ]
    );
    let of_deployment = &answer["plan"]["holders"];
    let named =
        of_deployment.as_array().unwrap().iter().any(|it| it["run"]["name"] == "of-nightly");
    assert!(named, "the state of its flow run names the lease");
    assert_eq!(answer["plan"]["limits"][0]["unknown"], 1);
    assert!(answer["plan"]["notes"][0].as_str().unwrap().contains("is left out"));
    assert_eq!(answer["applied"], serde_json::json!({ "limits": 1, "holders": 2 }));
}

#[test]
fn a_newer_revision_is_refused_unless_the_operator_insists() {
    let prefect = Prefect::new("ffffffffffff");
    let refused = prefect.run("import", &["--dry-run"]);
    assert_eq!(code(&refused), 76);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("go on with --force"));
    assert_eq!(code(&prefect.run("import", &["--dry-run", "--force"])), 2, "there is something");
    assert!(!prefect.data_dir().exists(), "a dry run creates nothing");
}

#[test]
fn a_source_that_is_open_elsewhere_is_read_with_its_log_and_not_written() {
    let prefect = Prefect::new("27d8f4e1a6c9");
    let write = "PRAGMA journal_mode = wal; UPDATE concurrency_limit_v2 SET \"limit\" = 9";
    prefect.connection.execute_batch(write).unwrap();
    let files = || {
        let read =
            |suffix: &str| std::fs::read(format!("{}{suffix}", prefect.path().display())).ok();
        ["", "-wal", "-shm"].map(read)
    };
    let before = files();
    let answer = answer(&prefect.run("import", &[]));
    assert_eq!(answer["plan"]["limits"][0]["slots"], 9, "the log counts");
    assert!(files() == before, "the source was written");
}

#[test]
fn tags_in_their_own_table_go_there_and_back() {
    let prefect = Prefect::new("20fbd53b3cef");
    let holders = format!("[\"{}\", \"{}\"]", id(71), id(72));
    let now = "2026-01-01 00:00:00.000000";
    let insert = "INSERT INTO concurrency_limit VALUES (?1, ?2, ?2, 'ocr', 3, ?3)";
    prefect.connection.execute(insert, [&id(5), now, &holders]).unwrap();
    let imported = answer(&prefect.run("import", &[]));
    assert_eq!(imported["applied"], serde_json::json!({ "limits": 2, "holders": 1 }));
    let read = || -> (i64, String) {
        let sql = "SELECT concurrency_limit, active_slots FROM concurrency_limit";
        prefect.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    prefect.connection.execute("UPDATE concurrency_limit SET active_slots = '[]'", []).unwrap();
    let exported = answer(&prefect.run("export", &[]));
    assert_eq!(exported["plan"]["holders"][0]["way"], "task_run");
    assert_eq!(read(), (3, format!("[\"{}\"]", id(71))));
    prefect.connection.execute("UPDATE concurrency_limit SET concurrency_limit = 8", []).unwrap();
    assert_eq!(code(&prefect.run("export", &[])), 1, "it differs");
    answer(&prefect.run("export", &["--replace"]));
    assert_eq!(read().0, 3);
}

#[test]
fn a_database_that_is_locked_is_said_and_unchanged() {
    let prefect = Prefect::new("27d8f4e1a6c9");
    answer(&prefect.run("import", &[]));
    prefect.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = prefect.run("export", &[]);
    assert_eq!(code(&refused), 75);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is locked by another program"));
}

#[test]
fn a_directory_without_a_journal_is_not_made_by_an_export() {
    let prefect = Prefect::new("27d8f4e1a6c9");
    assert_eq!(code(&prefect.run("export", &[])), 65);
    let to = ["--to", "http://127.0.0.1:9/api"];
    assert_eq!(code(&prefect.run("restore", &to)), 65);
    assert!(!Path::new(&prefect.data_dir()).exists());
}
