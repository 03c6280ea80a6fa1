//! What the commands that move limits from Prefect and back have in common: which Prefect server,
//! which data directory, and how a failure ends the program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use leasehold_client::Client;
use leasehold_migrate::{
    Api, DataDir, DataDirError, Error, ExportError, LeasePlace, OnConflict, Place, RecordError,
    Timestamp,
};

use crate::args::VERSION;
use crate::commands::server::default_data_dir;
use crate::commands::view::{Form, FormArg};
use crate::exit::{Exit, Failure, or_json};
use crate::{output, time};

/// For how long a request is sent again while a server does not answer.
const RETRY_FOR: Duration = Duration::from_secs(2);

pub(super) const EXIT_CODES: &str = "    0  done, or nothing to do
    1  limits differ, or not everything could be done
    2  with --dry-run: there is something to do
   64  the command line is wrong
   65  the source is no database of Prefect's, or is damaged
   69  the server cannot be reached, or is no Prefect server
   74  a file cannot be read or written
   75  the data directory or the database is in use
   76  the database is newer than this version of Leasehold knows
   77  the login was refused";

/// As whom to speak to Prefect's API.
#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// The user and the password of Prefect's API, as user:password
    #[arg(long, env = "PREFECT_API_AUTH_STRING", hide_env_values = true, value_name = "TEXT")]
    auth_string: Option<String>,

    /// The key of Prefect's API
    #[arg(long, env = "PREFECT_API_KEY", hide_env_values = true, value_name = "KEY")]
    #[arg(conflicts_with = "auth_string")]
    api_key: Option<String>,
}

/// The data directory of a stopped server.
#[derive(Debug, clap::Args)]
pub(super) struct DataDirArg {
    /// The data directory of the stopped Leasehold server
    #[arg(long, env = "DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Whether to print a plan or to carry it out, and in which form to answer.
#[derive(Debug, clap::Args)]
pub(super) struct Answering {
    /// Print the plan and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    form: FormArg,
}

/// What becomes of a limit that both sides have, with different values.
#[derive(Debug, clap::Args)]
pub(super) struct Conflicts {
    /// A limit that is there already and differs gets the values that are carried
    #[arg(long, conflicts_with = "skip")]
    replace: bool,

    /// A limit that is there already and differs stays as it is
    #[arg(long)]
    skip: bool,
}

impl Answering {
    pub(super) fn form(&self) -> Form {
        self.form.form()
    }

    /// Ends a command: clears the line of progress, and writes an error as JSON where JSON was
    /// asked for.
    pub(super) async fn ended(
        &self,
        carrying: impl Future<Output = Result<ExitCode, Failure>>,
    ) -> Result<ExitCode, Failure> {
        let done = carrying.await;
        output::progress_end();
        or_json(self.form() == Form::Json, done)
    }

    /// How a plan ended that was printed: `carried` unless this was a dry run with something to do.
    pub(super) fn exit(&self, is_empty: bool, carried: ExitCode) -> ExitCode {
        if self.dry_run && !is_empty { Exit::Pending.into() } else { carried }
    }
}

impl Conflicts {
    pub(super) fn on_conflict(&self) -> OnConflict {
        match (self.replace, self.skip) {
            (true, _) => OnConflict::Replace,
            (_, true) => OnConflict::Skip,
            _ => OnConflict::Stop,
        }
    }

    /// Fails if limits differ and the operator has chosen nothing.
    pub(super) fn refuse(limits: usize) -> Result<(), Failure> {
        if limits == 0 {
            return Ok(());
        }
        let message = format!(
            "{limits} limit(s) differ, and nothing was carried: choose --replace or --skip"
        );
        Err(Failure::new(Exit::No, message))
    }
}

impl DataDirArg {
    /// Opens the data directory. One without a journal is a mistake.
    pub(super) fn open(&self) -> Result<(PathBuf, DataDir), Failure> {
        let path = self.path()?;
        if !DataDir::exists(&path) {
            let path = path.display();
            let message = format!("there is no journal in {path}; give --data-dir");
            return Err(Failure::new(Exit::Data, message));
        }
        let data_dir = DataDir::open(&path, now())?;
        Ok((path, data_dir))
    }

    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        let wrong = || Failure::new(Exit::Usage, "which data directory? give --data-dir");
        self.data_dir.clone().or_else(default_data_dir).ok_or_else(wrong)
    }
}

impl Login {
    /// The API of a place, if the place is one.
    pub(super) fn api(&self, place: &Place) -> Result<Option<Api>, Failure> {
        let Place::Api(url) = place else { return Ok(None) };
        let mut builder = Client::builder()
            .url(url)
            .user_agent(format!("leasehold/{VERSION}"))
            .retry_for(RETRY_FOR);
        if let Some(text) = &self.auth_string {
            builder = builder.auth_string(text);
        }
        if let Some(key) = &self.api_key {
            builder = builder.api_key(key);
        }
        let client = builder.build();
        client
            .map(|client| Some(Api::new(client)))
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    }
}

pub(super) fn place(url: &str) -> Result<Place, Failure> {
    url.parse().map_err(|error| Failure::new(Exit::Usage, format!("{error}")))
}

pub(super) fn lease_place(url: Option<&str>) -> Result<Option<LeasePlace>, Failure> {
    let parsed = url.map(str::parse).transpose();
    parsed.map_err(|error| Failure::new(Exit::Usage, format!("{error}")))
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_micros(time::now().0)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Unreachable { .. } | Error::NoPrefect { .. } | Error::Refused { .. } => {
                Exit::Unavailable
            }
            Error::Login { .. } => Exit::NotPermitted,
            Error::Locked { .. } | Error::Changing { .. } => Exit::Busy,
            Error::Newer { .. } => Exit::Newer,
            Error::Io { .. } => Exit::Io,
            _ => Exit::Data,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        Self::new(Exit::Io, error.to_string())
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Server(error) => error.into(),
            ExportError::Record(error) => error.into(),
            error => Self::new(Exit::Software, error.to_string()),
        }
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        let exit = match &error {
            DataDirError::Running { .. } => Exit::Busy,
            _ => Exit::Data,
        };
        Self::new(exit, error.to_string())
    }
}
