//! `leasehold completions`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
    0  done
   64  the command line is wrong")]
pub(crate) struct Args {
    /// Which shell.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "leasehold", &mut script);
    output::verbatim(String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}
