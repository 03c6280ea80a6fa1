//! What each command does, a module each.

pub(crate) mod completions;
pub(crate) mod locks;
mod redis_flags;
pub(crate) mod redis_scan;
pub(crate) mod run;
mod scan_files;
pub(crate) mod server;

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};

/// Does what the command line asks.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Server(command) => return server::run(*command),
        Command::Completions(args) => return completions::run(&args),
        Command::Run(args) => block_on(run::run(args)),
        Command::Locks(command) => block_on(locks::run(command)),
        Command::RedisScan(args) => block_on(redis_scan::run(args)),
        Command::Warden(args) => run::warden(&args),
    };
    result.unwrap_or_else(|failure| failure.report())
}

/// One thread is enough for a program that waits, and none of its timers stands behind another's
/// work.
fn block_on<F: Future<Output = Result<ExitCode, Failure>>>(future: F) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Os, format!("failed to start: {error}")))?
        .block_on(future)
}

/// This host's name, for those who ask who holds a lock.
fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "unknown".to_owned())
}
