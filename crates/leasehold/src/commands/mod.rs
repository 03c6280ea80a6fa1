//! What each command does, a module each.

pub(crate) mod completions;
pub(crate) mod locks;
pub(crate) mod migrate;
mod redis_flags;
pub(crate) mod redis_scan;
pub(crate) mod run;
mod scan_files;
pub(crate) mod server;

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
