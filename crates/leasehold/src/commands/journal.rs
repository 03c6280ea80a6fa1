//! `leasehold journal`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use leasehold_journal::{
    CommitError, CopyError, DatabaseError, Journal, LoadError, Node, OpenError, PostgresError,
    PostgresJournal, PostgresSettings, SqliteJournal, copy,
};
use leasehold_node::chain;

use super::{help, hostname};
use crate::exit::{Exit, Failure};
use crate::output;

/// While a ledger is copied, its database may be silent for so long.
const OWNED_FOR: Duration = Duration::from_secs(120);

const EXIT_CODES: &str = "    0  copied
   64  the command line is wrong
   65  a journal is damaged, or the destination has a ledger already
   69  a PostgreSQL cannot be reached, or accepts no writes
   73  a directory cannot be written
   75  a server uses one of the journals
   76  a newer version wrote a journal
   77  a PostgreSQL refused the login
   78  an address or a setting of a PostgreSQL is wrong";

const EXAMPLES: &str =
    "  leasehold journal copy --from ./data --to postgres://leasehold@db/leasehold
  leasehold journal copy --from postgres://leasehold@db/leasehold --to ./data";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Copy a ledger with its leases from a data directory to a PostgreSQL, or back.
    ///
    /// No server may use either of them. Leases keep the time that they have left at the last
    /// commit of the source. Serve only one of the two afterwards: two servers on two copies grant
    /// each slot twice.
    #[command(after_help = help(EXIT_CODES, EXAMPLES))]
    Copy(CopyArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CopyArgs {
    /// The data directory or the PostgreSQL with the ledger.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// The data directory or the PostgreSQL to copy it to, which has none.
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// A file with the password of the PostgreSQL in its first line.
    #[arg(long, env, value_name = "FILE")]
    journal_password_file: Option<PathBuf>,
}

pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let Command::Copy(CopyArgs { from, to, journal_password_file }) = command;
    if from == to {
        return Err(Failure::new(Exit::Usage, "--from and --to are the same place"));
    }
    let password_file = journal_password_file.as_deref();
    // A source that is missing must not be created.
    if !PostgresSettings::is_address(from) && !Path::new(from).join(SqliteJournal::FILE).is_file() {
        let message = format!("there is no journal in the directory {from}; correct --from");
        return Err(Failure::new(Exit::Data, message));
    }
    let mut source = open(from, password_file)?;
    let mut destination = open(to, password_file)?;
    let copied = copy(&mut *source, &mut *destination).map_err(|error| failure_of(&error))?;
    output::success(&format!(
        "copied {} limits, {} leases and {} endings of leases; serve only one of the two from now on",
        copied.limits, copied.leases, copied.endings
    ));
    Ok(ExitCode::SUCCESS)
}

/// Opens a journal so that no server can use it meanwhile.
fn open(place: &str, password_file: Option<&Path>) -> Result<Box<dyn Journal>, Failure> {
    if !PostgresSettings::is_address(place) {
        let opened = SqliteJournal::open(Path::new(place));
        return match opened {
            Ok(journal) => Ok(Box::new(journal)),
            Err(error) => Err(Failure::new(exit_of(&error), chain(&error))),
        };
    }
    let opened = PostgresSettings::read(place, password_file, |name| env::var(name).ok())
        .map_err(PostgresError::Settings)
        .and_then(|settings| {
            let name = format!("{} (leasehold journal copy)", hostname());
            PostgresJournal::open(settings, Node { name, takeover: OWNED_FOR })
        });
    match opened {
        Ok(journal) => Ok(Box::new(journal)),
        Err(error) => Err(Failure::new(Exit::from(&error), error.to_string())),
    }
}

pub(super) fn exit_of(error: &OpenError) -> Exit {
    match error {
        OpenError::Locked { .. } | OpenError::Database(DatabaseError::Busy { .. }) => Exit::Busy,
        OpenError::Database(DatabaseError::Directory { .. }) => Exit::CannotCreate,
        OpenError::Database(DatabaseError::Newer { .. }) => Exit::Newer,
        _ => Exit::Data,
    }
}

fn failure_of(error: &CopyError) -> Failure {
    let exit = match error {
        CopyError::Source(LoadError::Storage(_))
        | CopyError::Destination(LoadError::Storage(_)) => Exit::Unavailable,
        CopyError::Commit(CommitError::Full) => Exit::CannotCreate,
        CopyError::Commit(_) => Exit::Unavailable,
        _ => Exit::Data,
    };
    Failure::new(exit, chain(error))
}
