//! `leasehold backup` and `leasehold restore`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use leasehold_journal::{BackedUp, BackupError, Existing, LoadError, SqliteJournal};
use leasehold_node::chain;
use leasehold_records::Records;
use serde::Serialize;

use super::{help, journal, server};
use crate::exit::{Exit, Failure};
use crate::output;

const EXIT_CODES: &str = "    0  done
   64  the command line is wrong
   65  there is no journal, or it is damaged, or one is in the way
   73  a directory cannot be written
   75  a server, or another program, uses the data
   76  a newer version wrote the journal";

/// Copy the data of a server, which may run meanwhile.
///
/// The copy is whole, as of one moment, and is read once before the command ends. It is a data
/// directory itself: `leasehold server start --data-dir` serves it, and `leasehold restore` puts it
/// back. A journal in a PostgreSQL is backed up by that database's own tools.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "\
  leasehold backup /backup/leasehold-monday
  leasehold backup ./backup --data-dir ./data --without-records"))]
pub(crate) struct BackupArgs {
    /// The directory of the backup: a new one, or an empty one.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    of: DataDir,
    /// Leave out the recorded runs and events, which no limit and no lease needs.
    #[arg(long)]
    without_records: bool,
    #[command(flatten)]
    form: Form,
}

/// Put a backup in the place of a server's data. The server has to be stopped.
///
/// The backup is copied and read before anything is moved. Leases that were granted since it was
/// made are unknown then, and those that ended since live until their deadlines.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "\
  leasehold restore /backup/leasehold-monday
  leasehold restore ./backup --data-dir ./data --replace"))]
pub(crate) struct RestoreArgs {
    /// The directory of the backup.
    #[arg(value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    of: DataDir,
    /// Move what is in the data directory into `replaced-1` in it, or the next free number.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Args)]
struct DataDir {
    /// Where the server keeps its data [default: the platform's data directory].
    #[arg(long, env, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Form {
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'answer> {
    directory: &'answer Path,
    limits: usize,
    leases: usize,
    records: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<&'answer Path>,
}

pub(crate) fn back_up(args: &BackupArgs) -> Result<ExitCode, Failure> {
    let directory = args.of.path()?;
    let holds = SqliteJournal::back_up(&directory, &args.to).map_err(|error| failure(&error))?;
    let records = !args.without_records
        && Records::back_up(&directory, &args.to).map_err(|error| failure(&error.into()))?;
    args.form.answer(&args.to, holds, records, None);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn restore(args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let directory = args.of.path()?;
    let has = |file| directory.join(file).exists();
    if has(Records::FILE) && !has(SqliteJournal::FILE) {
        let file = directory.join(Records::FILE);
        let message = format!("{} has no journal beside it; move it away", file.display());
        return Err(Failure::new(Exit::Data, message));
    }
    let existing = if args.replace { Existing::Replace } else { Existing::Keep };
    let restored = SqliteJournal::restore(&args.from, &directory, existing)
        .map_err(|error| failure(&error))?;
    let replaced = restored.replaced.as_deref();
    if let Some(aside) = replaced {
        for end in ["", "-wal", "-shm"] {
            let name = format!("{}{end}", Records::FILE);
            // What is missing needs no place.
            let _ = fs::rename(directory.join(&name), aside.join(&name));
        }
    }
    let records =
        Records::back_up(&args.from, &directory).map_err(|error| failure(&error.into()))?;
    args.form.answer(&directory, restored.holds, records, replaced);
    Ok(ExitCode::SUCCESS)
}

impl DataDir {
    fn path(&self) -> Result<PathBuf, Failure> {
        self.data_dir.clone().or_else(server::default_data_dir).ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no data directory here; give --data-dir")
        })
    }
}

impl Form {
    fn answer(self, directory: &Path, holds: BackedUp, records: bool, replaced: Option<&Path>) {
        let BackedUp { limits, leases, .. } = holds;
        if self.json {
            return output::json(&Answer { directory, limits, leases, records, replaced });
        }
        let with = if records { ", with the recorded runs and events" } else { "" };
        let place = directory.display();
        output::success(&format!("{place} has {limits} limits and {leases} leases now{with}"));
        if let Some(replaced) = replaced {
            output::line(&format!("what was there before is in {}", replaced.display()));
        }
    }
}

fn failure(error: &BackupError) -> Failure {
    let (exit, advice) = match error {
        BackupError::Missing(_) => (Exit::Data, "correct it"),
        BackupError::NotEmpty(_) => (Exit::CannotCreate, "choose a new one for each backup"),
        BackupError::Occupied(_) => (Exit::Data, "move it aside with --replace"),
        BackupError::Open(error) => {
            let exit = journal::exit_of(error);
            (exit, if exit == Exit::Busy { "stop the server first" } else { "choose another one" })
        }
        BackupError::Load(LoadError::Full) | BackupError::Io { .. } => {
            (Exit::CannotCreate, "make room or make it writable")
        }
        _ => (Exit::Data, "use another backup"),
    };
    Failure::new(exit, format!("{}; {advice}", chain(error)))
}
