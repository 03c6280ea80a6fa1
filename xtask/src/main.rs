//! `cargo xtask`: what CI runs and what a newcomer runs, from one place.
//!
//! It knows which tests there are and what they need installed; it refuses to know how any of
//! them works.

mod arguments;
mod checks;
mod environment;
mod fuzz;
mod laws;
mod newest;
mod packages;
mod step;
mod suites;
mod venvs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Task, TestArguments};

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::ClientsNewest => newest::check(),
        Task::Laws => laws::check(),
        Task::Fuzz(arguments) => fuzz::run_wanted(&arguments),
        Task::Test(arguments) => suites::run_wanted(&arguments),
        Task::Ci => checks::run_all().and_then(|()| suites::run_wanted(&TestArguments::default())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
