//! The `leasehold` program.

mod args;
mod argv;
mod cli;
mod commands;
mod complete;
mod duration;
mod exit;
mod output;
mod time;

use std::process::ExitCode;

use clap_complete::CompleteEnv;

/// A request allocates some dozens of times, and gives back on another thread what one took.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    CompleteEnv::with_factory(cli::command).var(commands::completions::VARIABLE).complete();
    argv::hide_password();
    match cli::parse() {
        Ok(cli) => cli.run(),
        Err(exit) => exit,
    }
}
