//! The commands for limits, leases and waiters, against a real server: piped, and at a terminal of
//! 80 columns.

mod apply;
mod doctor;
mod explain;
mod gcl;
mod leases;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::http::Client;
use crate::server::program::{Ended, Home, Server, run};

/// A server, and a user on the same machine.
struct Place {
    home: Home,
    server: Server,
}

impl Place {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let home = Home::new();
        let server = home.start(options);
        Self { home, server }
    }

    fn url(&self) -> String {
        format!("http://{}/api", self.server.address())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.leasehold(arguments);
        command.env("LEASEHOLD_API_URL", self.url()).env("USER", "anna");
        command
    }

    /// Runs a command to its end, with its output in pipes.
    fn run(&self, arguments: &[&str]) -> Ended {
        run(self.command(arguments))
    }

    /// Runs a command that has to succeed.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.stdout
    }

    /// Runs a command that has to end with `code`, and says so on standard error.
    #[track_caller]
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        ended.stderr
    }

    /// What a command answers in JSON.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Runs a command line at a terminal of 80 columns, and types `input`.
    fn on_terminal(&self, line: &str, input: &str) -> Ended {
        let script = format!("stty cols 80 rows 24; printf '{input}' | $LEASEHOLD {line}");
        let mut command = self.home.command("script", ["-qec", &script, "/dev/null"]);
        command
            .env("LEASEHOLD", env!("CARGO_BIN_EXE_leasehold"))
            .env("LEASEHOLD_API_URL", self.url())
            .env("TERM", "xterm-256color")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        run(command)
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    /// Takes slots as a program does, and answers the lease.
    fn acquire(&self, limit: &str, slots: u64, holder: &str) -> Value {
        let body = json!({
            "limits": [{"name": limit, "slots": slots}],
            "holder": {"kind": "process", "id": holder, "labels": {"team": "data"}},
        });
        let answer = self.client().post("/api/leases", &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        serde_json::from_slice(&answer.body).unwrap()
    }
}

/// The lines of a text that are too long for a terminal.
fn too_long(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.trim_end().chars().count() > 80).collect()
}
