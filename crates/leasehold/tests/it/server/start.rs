//! What a server says when it starts, and to whom its data is open.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::Value;

use crate::server::program::{Ended, Home, run};

const WARNING: &str = "anyone there can take and revoke every lease";

#[test]
fn a_server_that_everyone_can_reach_without_a_password_warns() {
    let home = Home::new();
    let server = home.start(&["--host", "0.0.0.0"]);
    assert!(server.announcement().contains("\n  Auth   none\n"), "{}", server.announcement());
    assert!(!server.announcement().contains("0.0.0.0"), "{}", server.announcement());
    assert_eq!(server.client().get("/api/health").status, 200, "at the address that it names");
    let log = server.stop();
    assert!(log.contains(WARNING) && log.contains("0.0.0.0"), "{log}");

    let server = home.start(&["--host", "0.0.0.0", "--auth-string", "admin:secret"]);
    let announcement = server.announcement().to_owned();
    assert!(announcement.contains("\n  Auth   basic\n"), "{announcement}");
    assert!(announcement.contains("PREFECT_API_AUTH_STRING="), "{announcement}");
    assert!(!announcement.contains("secret"), "{announcement}");
    assert!(!server.stop().contains(WARNING));
    assert!(!home.start(&[]).stop().contains(WARNING));
}

#[test]
fn the_data_is_its_owners_alone() {
    let home = Home::new();
    let server = home.start(&[]);
    server.client().create_limit("db", 1);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let data_dir = home.data_dir();
    assert_eq!(mode(&data_dir), 0o700);
    let files: Vec<_> = fs::read_dir(&data_dir).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 5, "journal, records and their logs: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    assert!(!server.stop().contains("WARN"));

    // What an operator has opened stays open, and is told.
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o755)).unwrap();
    let journal = data_dir.join("leasehold.db");
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o644)).unwrap();
    let log = home.start(&[]).stop();
    assert!(log.contains("chmod -R go="), "{log}");
    assert_eq!(mode(&journal), 0o644);
}

#[test]
fn the_start_is_one_line_that_says_what_runs() {
    let home = Home::new();
    let log = home.start(&["--log-format", "json", "--records-max", "777"]).stop();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let started: Vec<_> = lines.filter(|line| line["fields"]["message"] == "started").collect();
    let [started] = &started[..] else { panic!("{log}") };
    let fields = &started["fields"];
    assert_eq!(fields["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(fields["data_dir"], home.data_dir().display().to_string());
    assert_eq!((&fields["records_max"], &fields["auth"]), (&777.into(), &"none".into()));
    for field in ["commit", "journal", "address", "connections_max", "lease_seconds_max"] {
        assert!(!fields[field].is_null(), "{field}: {log}");
    }
}

#[test]
fn the_version_names_the_commit() {
    let home = Home::new();
    let ended = run(home.leasehold(["--version"]));
    let (version, commit) = ended.stdout.trim_end().split_once(" (").unwrap();
    assert_eq!(version, format!("leasehold {}", env!("CARGO_PKG_VERSION")));
    let commit = commit.trim_end_matches(')');
    let is_commit = commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_commit || commit == "unknown", "{commit}");
}

#[test]
fn with_json_a_start_that_fails_is_a_line_of_json() {
    let home = Home::new();
    let server = home.start(&[]);
    let check = |ended: Ended, code: i32, words: &str| {
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(code), 1), "{ended:?}");
        let line: Value = serde_json::from_str(&ended.stderr).unwrap();
        assert_eq!(line["level"], "ERROR", "{line}");
        let message = line["fields"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    };
    let start = |arguments: &[&str]| run(home.start_command(arguments));
    check(start(&["--log-format", "json"]), 75, "another server");
    check(start(&["--log-format=json", "--page-size", "0"]), 64, "--page-size <COUNT>");
    check(start(&["--log-format=json", "--prot", "1"]), 64, "--prot");
    check(start(&["--page-size", "x", "--log-format", "json"]), 64, "--page-size");
    let file = home.write("config.toml", "log_format = \"json\"\npage_size = 0\n");
    check(start(&["--config", &file.display().to_string()]), 78, "in line 2 of the file");
    let mut by_variable = home.start_command(&[]);
    by_variable.env("LEASEHOLD_LOG_FORMAT", "json").env("LEASEHOLD_PAGE_SIZE", "x");
    check(run(by_variable), 78, "LEASEHOLD_PAGE_SIZE");
    let text = start(&["--page-size", "0"]);
    assert!(text.stderr.contains("--page-size <COUNT>"), "{text:?}");
    server.stop();
}

#[test]
fn a_terminal_that_is_closed_does_not_end_the_server() {
    let home = Home::new();
    let server = home.start(&[]);
    for _ in 0..3 {
        server.signal(Signal::HUP);
        assert_eq!(server.client().get("/api/health").status, 200);
    }
    let log = server.stop();
    assert!(log.contains("SIGHUP"), "{log}");
}
