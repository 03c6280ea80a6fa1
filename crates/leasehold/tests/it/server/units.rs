//! The units of systemd in `packaging/systemd`: they are valid, they confine the server, and their
//! command line serves on the socket that they pass.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::program::{Home, Server};
use crate::server::takeover::with_socket;

const INSTALLED: &str = "/usr/bin/leasehold";

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd")
}

/// The value of a key that a unit has once.
fn value<'unit>(unit: &'unit str, key: &str) -> &'unit str {
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("no {key} in {unit}"));
    assert_eq!(values.next(), None, "{key} stands twice in {unit}");
    value
}

/// The units with the program under test in the place of the installed one.
fn with_this_program(home: &Home) -> PathBuf {
    for name in ["leasehold.service", "leasehold.socket"] {
        let unit = fs::read_to_string(units().join(name)).unwrap();
        home.write(name, &unit.replace(INSTALLED, env!("CARGO_BIN_EXE_leasehold")));
    }
    home.path("leasehold.service")
}

fn systemd_analyze(arguments: &[&str], unit: &Path) {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).arg(unit).output().expect("systemd is installed");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

#[test]
fn systemd_accepts_the_units_and_sees_the_server_confined() {
    let home = Home::new();
    let unit = with_this_program(&home);
    systemd_analyze(&["verify"], &unit);
    // In tenths, from 0 for a service that can do nothing to 100 for one that can do all.
    systemd_analyze(&["security", "--offline=true", "--threshold=15", "--no-pager"], &unit);
}

#[test]
fn the_command_line_of_the_unit_serves_on_the_socket_of_the_other() {
    let home = Home::new();
    let service = fs::read_to_string(with_this_program(&home)).unwrap();
    let data_dir = home.path("state").display().to_string();
    let mut words = value(&service, "ExecStart").split(' ').map(|word| match word {
        "${STATE_DIRECTORY}" => data_dir.as_str(),
        word => word,
    });
    let command = home.command(words.next().unwrap(), words);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(with_socket(&command, &socket, 1));
    assert_eq!(server.address(), socket.local_addr().unwrap());
    server.client().create_limit("db", 1);
    server.stop();
    assert!(home.path("state").join("leasehold.db").exists());

    // The default port of clients.
    let unit = fs::read_to_string(units().join("leasehold.socket")).unwrap();
    assert_eq!(value(&unit, "ListenStream"), "127.0.0.1:4200");
}
