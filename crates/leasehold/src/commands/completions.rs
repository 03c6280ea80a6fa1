//! `leasehold completions`.

use std::process::ExitCode;

use clap_complete::Shell;

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

/// Prints a script that completes `command`.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "leasehold", &mut script);
    output::verbatim(String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}
