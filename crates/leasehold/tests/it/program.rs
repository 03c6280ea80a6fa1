//! The program under test.

use std::process::{Child, Command, Output, Stdio};

use crate::support::RedisServer;

/// `leasehold` with this Redis in its environment.
pub(crate) fn leasehold(server: &RedisServer, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
    command.args(args).env("LEASEHOLD_REDIS", server.url()).stdin(Stdio::null());
    command
}

pub(crate) fn output(server: &RedisServer, args: &[&str]) -> Output {
    leasehold(server, args).output().unwrap()
}

/// Runs to the end, which has to be a success.
pub(crate) fn ok(server: &RedisServer, args: &[&str]) -> String {
    let output = output(server, args);
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{args:?}: {}\n{stdout}{stderr}", output.status);
    stdout
}

pub(crate) fn spawn(server: &RedisServer, args: &[&str]) -> Child {
    leasehold(server, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
