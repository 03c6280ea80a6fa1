//! The recipes of `docs/operations.md`: a backup that is made while the server runs, and restored.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::json;

use crate::server::program::{Ended, Home, run};

fn leasehold(home: &Home, command: &str, directory: &Path, flags: &[&str]) -> Ended {
    let mut program = home.leasehold([command]);
    program.arg(directory).arg("--data-dir").arg(home.data_dir()).args(flags);
    run(program)
}

fn succeeds(ended: &Ended, says: &str) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(says), "{ended:?}");
}

fn fails(ended: &Ended, code: i32, says: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.stderr.contains(says), "{ended:?}");
}

#[test]
fn the_page_shows_the_commands() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"));
    let page = page.unwrap();
    for command in ["leasehold backup /backup/", "leasehold restore /backup/"] {
        assert!(page.contains(command), "{command}");
    }
}

#[test]
fn a_backup_is_restored_in_the_place_of_a_journal_that_is_damaged() {
    let home = Home::new();
    let backup = home.path("backup");
    let server = home.start(&[]);
    server.client().create_limit("db", 5);
    let kept = server.client().acquire(&["db"], 2).json();
    let made = leasehold(&home, "backup", &backup, &["--json"]);
    succeeds(&made, "\"limits\":1,\"leases\":1,\"records\":true");
    fails(&leasehold(&home, "restore", &backup, &["--replace"]), 75, "stop the server first");
    server.stop();
    fails(&leasehold(&home, "restore", &backup, &[]), 65, "has a journal already");

    let journal = home.data_dir().join("leasehold.db");
    fs::write(&journal, vec![7; 8_192]).unwrap();
    let restored = leasehold(&home, "restore", &backup, &["--replace"]);
    succeeds(&restored, "has 1 limits and 1 leases now, with the recorded runs and events");
    let damaged = home.data_dir().join("replaced-1").join("leasehold.db");
    assert_eq!(fs::read(damaged).unwrap(), vec![7; 8_192]);
    assert!(home.data_dir().join("replaced-1").join("records.db").exists());
    assert!(!home.data_dir().join("restoring").exists());

    let server = home.start(&[]);
    assert_eq!(server.client().active_slots("db"), 2);
    let id = kept["lease_id"].as_str().unwrap();
    let renewal = format!("/api/v2/concurrency_limits/leases/{id}/renew");
    assert_eq!(server.client().post(&renewal, &json!({"lease_duration": 60})).status, 204);
    server.stop();
}

#[test]
fn a_backup_that_is_damaged_is_refused_and_nothing_is_moved() {
    let home = Home::new();
    let backup = home.path("backup");
    let server = home.start(&[]);
    server.client().create_limit("db", 5);
    succeeds(&leasehold(&home, "backup", &backup, &["--without-records"]), "has 1 limits");
    assert!(!backup.join("records.db").exists());
    server.client().create_limit("api", 5);
    server.stop();
    let database = Connection::open(backup.join("leasehold.db")).unwrap();
    database.execute("UPDATE limits SET slots = slots + 1", []).unwrap();
    drop(database);
    fails(&leasehold(&home, "restore", &backup, &["--replace"]), 65, "use another backup");
    let server = home.start(&[]);
    assert_eq!(server.client().active_slots("api"), 0);
    server.stop();
}

#[test]
fn a_backup_needs_a_journal_and_a_directory_of_its_own() {
    let home = Home::new();
    let backup = home.path("backup");
    fails(&leasehold(&home, "backup", &backup, &[]), 65, "has no journal");
    fails(&leasehold(&home, "restore", &backup, &[]), 65, "has no journal");
    home.start(&[]).stop();
    succeeds(&leasehold(&home, "backup", &backup, &[]), "has 0 limits and 0 leases now");
    fails(&leasehold(&home, "backup", &backup, &[]), 73, "is not empty");
}

#[test]
fn a_backup_of_a_running_server_has_every_lease_and_no_token_is_granted_again() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 5);
    let kept = client.acquire(&["db"], 1).json();
    let backup = home.path("backup");
    succeeds(&leasehold(&home, "backup", &backup, &[]), "has 1 limits and 1 leases now");
    // What comes later is not in it; the server goes on undisturbed.
    let later: Vec<_> = (0..3).map(|_| client.acquire(&["db"], 1).json()).collect();
    server.stop();

    let mut command = home.leasehold(["server", "start", "--port", "0", "--data-dir"]);
    command.arg(&backup);
    let server = crate::server::program::Server::start(command);
    let mut client = server.client();
    assert_eq!(client.active_slots("db"), 1);
    let renew = |id: &serde_json::Value| {
        format!("/api/v2/concurrency_limits/leases/{}/renew", id.as_str().unwrap())
    };
    let body = json!({"lease_duration": 60});
    assert_eq!(client.post(&renew(&kept["lease_id"]), &body).status, 204);
    for lease in &later {
        assert_eq!(client.post(&renew(&lease["lease_id"]), &body).status, 410);
    }
    let granted = client.acquire(&["db"], 1).json();
    let token = |lease: &serde_json::Value| lease["fencing_token"].as_u64().unwrap();
    assert!(later.iter().all(|lease| token(&granted) > token(lease)), "{granted} {later:?}");
    let log = server.stop();
    assert!(!log.contains("less than was acknowledged"), "{log}");
}
