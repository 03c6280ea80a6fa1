//! A server that cannot start says in one line what is wrong and what to do, and each reason
//! has an exit code of its own.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use crate::server::program::{Home, files, run};

/// Runs it, and expects one line on standard error with all the words.
fn check(command: Command, code: i32, words: &[&str]) {
    let ended = run(command);
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let line = ended.stderr.strip_suffix('\n').unwrap_or(&ended.stderr);
    assert!(line.starts_with("error: "), "{line}");
    assert!(!line.contains('\n'), "more than a line: {line}");
    for word in words {
        assert!(line.contains(word), "no '{word}' in: {line}");
    }
    assert_eq!(ended.stdout, "", "nothing was started");
}

fn journal(home: &Home) -> std::path::PathBuf {
    home.data_dir().join("leasehold.db")
}

/// A journal with a limit in it, of a server that has ended.
fn with_journal() -> Home {
    let home = Home::new();
    let server = home.start(&[]);
    server.client().create_limit("db", 1);
    server.stop();
    home
}

#[test]
fn a_second_server_on_the_same_data_ends_with_75() {
    let home = Home::new();
    let server = home.start(&[]);
    let data_dir = home.data_dir().display().to_string();
    check(home.start_command(&[]), 75, &["another server", &data_dir, "--data-dir"]);
    assert_eq!(server.client().get("/api/health").status, 200, "the first one goes on");
}

#[test]
fn a_port_in_use_ends_with_69() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = home.leasehold(["server", "start", "--port", &port]);
    command.arg("--data-dir").arg(home.data_dir());
    check(command, 69, &[&format!("127.0.0.1:{port}"), "in use", "--port"]);
}

#[test]
fn an_address_that_is_not_ours_ends_with_69() {
    let home = Home::new();
    check(home.start_command(&["--host", "192.0.2.1"]), 69, &["192.0.2.1:0", "--host"]);
    check(home.start_command(&["--host", "no.such.host.invalid"]), 69, &["no.such.host.invalid"]);
}

#[test]
fn a_data_directory_that_cannot_be_made_ends_with_73() {
    // Permissions would not stop root; a file where a directory must be stops everybody.
    let home = Home::new();
    let file = home.write("file", "");
    let data_dir = file.join("data").display().to_string();
    let command = home.leasehold(["server", "start", "--port", "0", "--data-dir", &data_dir]);
    check(command, 73, &[&data_dir, "cannot be written", "--data-dir"]);
}

#[test]
fn a_journal_that_cannot_be_made_in_its_directory_ends_with_73() {
    let home = Home::new();
    fs::create_dir_all(journal(&home)).unwrap();
    check(home.start_command(&[]), 73, &["leasehold.db", "--data-dir"]);
}

#[test]
fn a_journal_of_a_newer_version_ends_with_76() {
    let home = with_journal();
    let connection = Connection::open(journal(&home)).unwrap();
    connection.pragma_update(None, "user_version", 1_000).unwrap();
    drop(connection);
    check(home.start_command(&[]), 76, &["1000", "newer"]);
}

#[test]
fn a_file_that_is_no_journal_ends_with_65_and_is_left_alone() {
    let home = Home::new();
    fs::create_dir(home.data_dir()).unwrap();
    let text = "this is no database, and longer than the header of one ".repeat(20);
    fs::write(journal(&home), &text).unwrap();
    check(home.start_command(&[]), 65, &["leasehold.db", "backup"]);
    assert_eq!(fs::read_to_string(journal(&home)).unwrap(), text);
}

#[test]
fn a_database_of_another_program_ends_with_65_and_is_left_alone() {
    let home = Home::new();
    fs::create_dir(home.data_dir()).unwrap();
    let connection = Connection::open(journal(&home)).unwrap();
    connection.execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1;").unwrap();
    drop(connection);
    check(home.start_command(&[]), 65, &["leasehold.db"]);
    let connection = Connection::open(journal(&home)).unwrap();
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

/// Overwrites the pages of the file from its second on.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    assert!(bytes.len() > 4_096, "{:?}", files(path.parent().unwrap()));
    bytes[4_096..].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_journal_ends_with_65() {
    let home = with_journal();
    damage(&journal(&home));
    check(home.start_command(&[]), 65, &["leasehold.db", "backup"]);
}

#[test]
fn a_journal_with_a_row_that_makes_no_sense_ends_with_65() {
    let home = with_journal();
    let connection = Connection::open(journal(&home)).unwrap();
    leasehold_sqlite::add_row_sum(&connection).unwrap();
    connection
        .execute_batch(
            "UPDATE limits SET slots = -7;
             UPDATE limits SET sum = row_sum(id, name, slots, active, decay_nanos_per_second,
                 created_micros, updated_micros, denied_slots, occupancy_seconds_average,
                 settled_micros, unleased);",
        )
        .unwrap();
    drop(connection);
    check(home.start_command(&[]), 65, &["limits", "-7", "backup"]);
}

#[test]
fn a_row_that_was_changed_without_its_checksum_ends_with_65() {
    let home = with_journal();
    let connection = Connection::open(journal(&home)).unwrap();
    connection.execute("UPDATE limits SET slots = 7", []).unwrap();
    drop(connection);
    check(home.start_command(&[]), 65, &["limits", "checksum", "backup"]);
}

#[test]
fn a_row_that_is_missing_ends_with_65() {
    let home = with_journal();
    let connection = Connection::open(journal(&home)).unwrap();
    connection.execute("DELETE FROM limits", []).unwrap();
    drop(connection);
    check(home.start_command(&[]), 65, &["limits", "0 rows, and 1 were written", "backup"]);
}

#[test]
fn a_wrong_configuration_file_ends_with_78() {
    let home = Home::new();
    let check = |toml: &str, words: &[&str]| {
        let path = home.write("config.toml", toml).display().to_string();
        let words: Vec<_> = words.iter().copied().chain([path.as_str()]).collect();
        check(home.start_command(&["--config", &path]), 78, &words);
    };
    check("port = ", &["line 1"]);
    check("prot = 4200", &["prot", "line 1"]);
    check("host = \"::1\"\nport = \"many\"", &["many", "line 2"]);
    check("log_format = \"xml\"", &["xml", "json"]);
}

#[test]
fn a_configuration_file_that_is_not_there_ends_with_78() {
    let home = Home::new();
    let path = home.path("nowhere.toml").display().to_string();
    check(home.start_command(&["--config", &path]), 78, &[&path, "--config"]);
}

#[test]
fn a_value_that_makes_no_sense_ends_with_64_as_a_flag_and_with_78_elsewhere() {
    let home = Home::new();
    let out_of_range = |option: &str, value: &str| {
        let ended = run(home.start_command(&[&format!("--{option}={value}")]));
        assert_eq!(ended.code, Some(64), "{ended:?}");
        for word in [option, value] {
            assert!(ended.stderr.contains(word), "no '{word}' in {ended:?}");
        }
        let mut command = home.start_command(&[]);
        let variable = format!("LEASEHOLD_{}", option.replace('-', "_").to_uppercase());
        command.env(&variable, value);
        check(command, 78, &[&variable, value]);
    };
    out_of_range("page-size", "0");
    out_of_range("lease-seconds-min", "-1");
    out_of_range("lease-seconds-default", "5");
    out_of_range("lease-seconds-max", "1");
    out_of_range("wait-seconds-max", "NaN");
}

#[test]
fn a_wrong_variable_of_prefect_ends_with_78() {
    let home = Home::new();
    for (name, value) in [
        ("PREFECT_SERVER_API_DEFAULT_LIMIT", "lots"),
        ("PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS", "soon"),
        ("PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS", "soon"),
        ("PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED", "maybe"),
    ] {
        let mut command = home.start_command(&[]);
        command.env(name, value);
        check(command, 78, &[name, value]);
    }
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    let home = Home::new();
    for (arguments, word) in [
        (&["server", "start", "--prot", "1"][..], "--prot"),
        (&["server", "start", "--port", "many"], "many"),
        (&["server", "begin"], "begin"),
        (&["completions", "tcl"], "tcl"),
    ] {
        let ended = run(home.leasehold(arguments));
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
}

#[test]
fn a_wrong_variable_is_called_by_its_name() {
    let home = Home::new();
    let check = |name, value, words: &[&str]| {
        let mut command = home.leasehold(["server", "start"]);
        command.env(name, value);
        check(command, 78, words);
    };
    check("LEASEHOLD_PORT", "many", &["LEASEHOLD_PORT", "'many'"]);
    check("LEASEHOLD_LOG_FORMAT", "xml", &["LEASEHOLD_LOG_FORMAT", "'xml'", "text, json"]);
    check("LEASEHOLD_CSRF_PROTECTION", "maybe", &["LEASEHOLD_CSRF_PROTECTION", "'maybe'"]);
}
