//! The recipe of `docs/operations.md`: a backup that is made while the server runs, and restored.

use std::fs;

use rusqlite::Connection;
use serde_json::json;

use crate::server::program::Home;

const BACK_UP: &str = "VACUUM INTO '/backup/leasehold.db'";

#[test]
fn the_page_shows_the_statement_that_makes_a_backup() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"));
    assert!(page.unwrap().contains(BACK_UP));
}

#[test]
fn a_backup_of_a_running_server_has_every_lease_and_no_token_is_granted_again() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 5);
    let kept = client.acquire(&["db"], 1).json();
    let backup = home.path("backup");
    fs::create_dir(&backup).unwrap();
    let statement = BACK_UP.replace("/backup", &backup.display().to_string());
    let database = Connection::open(home.data_dir().join("leasehold.db")).unwrap();
    database.execute_batch(&statement).unwrap();
    drop(database);
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
