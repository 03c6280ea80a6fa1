//! What each command does, a module each.

mod api;
pub(crate) mod completions;
pub(crate) mod concurrency_limit;
pub(crate) mod gcl;
pub(crate) mod locks;
pub(crate) mod migrate;
mod redis_flags;
pub(crate) mod redis_scan;
pub(crate) mod run;
mod scan_files;
pub(crate) mod server;
pub(crate) mod session;
mod view;

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
