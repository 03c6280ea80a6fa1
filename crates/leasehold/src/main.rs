//! The `leasehold` program.

mod args;
mod commands;
mod duration;
mod exit;
mod output;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse() {
        Ok(cli) => commands::run(cli),
        Err(exit) => exit,
    }
}
