//! What each command does, a module each.

mod api;
pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod concurrency_limit;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod gcl;
mod identity;
pub(crate) mod journal;
pub(crate) mod leases;
pub(crate) mod locks;
pub(crate) mod man;
pub(crate) mod migrate;
pub(crate) mod rate_limit;
pub(crate) mod redis;
mod redis_flags;
pub(crate) mod redis_scan;
pub(crate) mod run;
mod scan_files;
pub(crate) mod server;
pub(crate) mod session;
mod slots;
pub(crate) mod status;
pub(crate) mod top;
mod view;
pub(crate) mod waiters;
mod who;
pub(crate) mod why;

use std::process::ExitCode;

use crate::exit::Failure;
use crate::output;

/// This host's name, as part of a holder's.
fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The exit codes of commands that read from a server.
const READ_EXIT_CODES: &str = "\
    0  done
    1  there is no such limit
   64  the command line is wrong
   69  the server cannot be reached, or is no Leasehold
   77  the server refused the credentials
   78  a variable or a profile is wrong
  130  ended by Ctrl-C";

/// Who calls this program: a person at a machine.
fn whoami() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    format!("{user}@{}", hostname())
}

/// The end of a command's help.
fn help(exit_codes: &str, examples: &str) -> String {
    format!("Exit codes:\n{exit_codes}\n\nExamples:\n{examples}")
}

/// Does something for each name, whatever happens to the others. Says each outcome.
async fn for_each(
    names: &[String],
    mut act: impl AsyncFnMut(&str) -> Result<String, Failure>,
) -> Result<ExitCode, Failure> {
    let mut exit = ExitCode::SUCCESS;
    for name in names {
        match act(name).await {
            Ok(done) => output::success(&done),
            Err(failure) if names.len() == 1 => return Err(failure),
            Err(failure) => exit = failure.report(),
        }
    }
    Ok(exit)
}
