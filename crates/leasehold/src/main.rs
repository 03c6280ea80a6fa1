//! The `leasehold` program.

mod args;
mod argv;
mod cli;
mod commands;
mod duration;
mod exit;
mod output;

use std::process::ExitCode;

/// A request allocates some dozens of times, and gives back on another thread what one took.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    argv::hide_password();
    match cli::parse() {
        Ok(cli) => cli.run(),
        Err(exit) => exit,
    }
}
