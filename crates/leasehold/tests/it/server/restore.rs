//! What operators do with a journal's files: copy them, put a backup in their place, lose them.

use std::fs;
use std::path::Path;

use crate::server::http::Client;
use crate::server::program::Home;

/// Above this a JSON number is no longer exact.
const EXACT_MAX: u64 = 1 << 53;

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Is granted slots so often, and answers the tokens.
fn tokens(client: &mut Client, grants: usize) -> Vec<u64> {
    let grants = (0..grants).map(|_| client.acquire(&["db"], 1));
    grants.map(|grant| grant.json()["fencing_token"].as_u64().unwrap()).collect()
}

#[test]
fn a_restored_backup_grants_no_token_that_was_granted_before() {
    let home = Home::new();
    let backup = home.path("backup");
    let server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 1_000);
    let mut granted = tokens(&mut client, 3);
    server.stop();
    copy(&home.data_dir(), &backup);

    for _ in 0..2 {
        let mut server = home.start(&[]);
        granted.extend(tokens(&mut server.client(), 50));
        server.kill();
        copy(&backup, &home.data_dir());
    }
    let server = home.start(&[]);
    granted.extend(tokens(&mut server.client(), 3));
    assert!(granted.is_sorted_by(|one, two| one < two), "{granted:?}");
    assert!(granted.iter().all(|token| *token < EXACT_MAX), "{granted:?}");
    server.stop();
}

#[test]
fn a_journal_that_was_lost_grants_no_token_that_was_granted_before() {
    let home = Home::new();
    let mut granted = Vec::new();
    for _ in 0..2 {
        let server = home.start(&[]);
        let mut client = server.client();
        client.create_limit("db", 1_000);
        granted.extend(tokens(&mut client, 20));
        server.stop();
        fs::remove_dir_all(home.data_dir()).unwrap();
    }
    assert!(granted.is_sorted_by(|one, two| one < two), "{granted:?}");
}
