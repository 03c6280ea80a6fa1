//! `leasehold man`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap_mangen::Man;

use crate::exit::{Exit, Failure};
use crate::output;

/// Print the man page of this program, or write those of all its commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
    0  done
   64  the command line is wrong
   73  the folder cannot be written

Examples:
  leasehold man | man -l -
  leasehold man --dir /usr/local/share/man/man1")]
pub(crate) struct Args {
    /// A folder: write a page there for each command
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Writes the pages of `command`.
pub(crate) fn run(args: &Args, command: clap::Command) -> Result<ExitCode, Failure> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(|error| {
            Failure::new(Exit::Software, format!("failed to write the page: {error}"))
        })?;
        output::verbatim(String::from_utf8_lossy(&page).trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir)).map_err(
        |error| {
            Failure::new(
                Exit::CannotCreate,
                format!("failed to write to {}: {error}", dir.display()),
            )
        },
    )?;
    Ok(ExitCode::SUCCESS)
}
