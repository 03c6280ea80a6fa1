//! `leasehold completions`.

use std::process::ExitCode;

use clap::ValueEnum;
use clap_complete::env::{EnvCompleter, Shells};

use crate::exit::{Exit, Failure};
use crate::output;

/// The variable with which a shell asks this program for completions.
pub(crate) const VARIABLE: &str = "LEASEHOLD_COMPLETE";

/// Print a completion script for a shell.
///
/// The script asks this program while you type, so it knows the names of limits, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
    0  done
   64  the command line is wrong

Examples:
  source <(leasehold completions bash)
  leasehold completions fish > ~/.config/fish/completions/leasehold.fish")]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    Powershell,
    Zsh,
}

/// Prints a script that completes this program's command line.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let name = args.shell.to_possible_value();
    let name = name.as_ref().map_or("bash", |value| value.get_name());
    let shells = Shells::builtins();
    let failed = |why: String| Failure::new(Exit::Software, format!("no script for {name}: {why}"));
    let shell: &dyn EnvCompleter =
        shells.completer(name).ok_or_else(|| failed("unknown".into()))?;
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, "leasehold", "leasehold", "leasehold", &mut script)
        .map_err(|error| failed(error.to_string()))?;
    output::verbatim(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}
