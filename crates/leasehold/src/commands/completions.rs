//! `leasehold completions`.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    clap_complete::generate(args.shell, &mut Cli::command(), "leasehold", &mut io::stdout());
    ExitCode::SUCCESS
}
