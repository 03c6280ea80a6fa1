//! One module per command.

pub(crate) mod locks;
mod redis_flags;
pub(crate) mod redis_scan;
pub(crate) mod run;
mod scan_files;

use crate::args::{Cli, Command};
use crate::exit::{self, Failure};
use crate::output;
use clap::CommandFactory;
use std::process::ExitCode;

/// Runs what the command line asks for.
pub(crate) fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Run(args) => block_on(run::run(args)),
        Command::Locks(command) => block_on(locks::run(command)),
        Command::RedisScan(args) => block_on(redis_scan::run(args)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "leasehold", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Warden(args) => run::warden(&args),
    }
}

/// One thread is enough for a program that waits, and none of its timers stands behind another's work.
fn block_on<F: Future<Output = Result<ExitCode, Failure>>>(future: F) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::OS, format!("failed to start: {error}")))?
        .block_on(future)
}

/// This host's name, for those who ask who holds a lock.
fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "unknown".to_owned())
}
