//! The `leasehold` program.

mod args;
mod commands;
mod exit;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse() {
        Ok(cli) => commands::run(cli),
        Err(exit) => exit,
    }
}
