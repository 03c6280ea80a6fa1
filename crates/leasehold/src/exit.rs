//! How the program ends. The numbers are those of `sysexits.h`, where it has one that fits.
//! `leasehold run` ends with its command's number instead; numbers above 128 are 128 plus the
//! signal that ended it.

use std::process::ExitCode;

use leasehold_journal::PostgresError;
use leasehold_redis::Fault;
use serde_json::Value;

use crate::output;

/// Why a command did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 1: the answer is no: it is not safe to go on, or not everything could be done.
    No = 1,
    /// 2: a dry run found something to do.
    Pending = 2,
    /// 64: the command line is wrong.
    Usage = 64,
    /// 65: the journal is damaged, or is no journal; a log that was to be undone is none; a file of
    /// limits is wrong.
    Data = 65,
    /// 69: the address cannot be listened on, mostly because another program uses the port; Redis
    /// or the server cannot be reached, or gave an answer that makes no sense.
    Unavailable = 69,
    /// 70: something that should not happen.
    Software = 70,
    /// 71: the operating system refused something.
    Os = 71,
    /// 73: the data directory cannot be written.
    CannotCreate = 73,
    /// 74: a log or a file of limits cannot be read or written.
    Io = 74,
    /// 75: another server runs on the same data; slots or the lock were not granted in time. It may
    /// work later.
    Busy = 75,
    /// 76: a newer version wrote the journal.
    Newer = 76,
    /// 77: Redis or the server refused the login, or does not permit it to this user.
    NotPermitted = 77,
    /// 78: the configuration file, an environment variable or a profile is wrong.
    Config = 78,
    /// 79: slots or the lock were lost while the command ran, however the command ended.
    LockLost = 79,
    /// 126: as in a shell, the command was found and cannot be run.
    CannotRun = 126,
    /// 127: as in a shell, there is no such command.
    NotFound = 127,
    /// 130: as in a shell, ended by Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&Fault> for Exit {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::LoginRefused { .. } | Fault::NotPermitted { .. } => Self::NotPermitted,
            _ => Self::Unavailable,
        }
    }
}

impl From<&PostgresError> for Exit {
    fn from(error: &PostgresError) -> Self {
        match error {
            PostgresError::Login { .. } => Self::NotPermitted,
            PostgresError::Settings(_) | PostgresError::Setting { .. } => Self::Config,
            PostgresError::Newer { .. } => Self::Newer,
            PostgresError::Damaged { .. } | PostgresError::Lost { .. } => Self::Data,
            PostgresError::Owned { .. } => Self::Busy,
            _ => Self::Unavailable,
        }
    }
}

/// Why the program ends without having done what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    /// More for programs that read JSON.
    details: serde_json::Map<String, Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: serde_json::Map::new() }
    }

    /// The same with another code.
    pub(crate) fn with(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The same, after what was tried.
    pub(crate) fn within(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// With something more for programs.
    pub(crate) fn detail(mut self, name: &str, value: Value) -> Self {
        self.details.insert(name.to_owned(), value);
        self
    }

    fn to_json(&self) -> Value {
        let mut object = self.details.clone();
        object.insert("error".to_owned(), Value::from(self.message.as_str()));
        object.insert("exit_code".to_owned(), Value::from(self.exit as u8));
        Value::Object(object)
    }

    /// Prints the failure. No other place does.
    pub(crate) fn report(&self) -> ExitCode {
        output::error(&self.message);
        self.exit.into()
    }
}

/// With `--json`, a failure is an object on standard output too.
pub(crate) fn or_json(
    json_is_wanted: bool,
    result: Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    if let (true, Err(failure)) = (json_is_wanted, &result) {
        output::json(&failure.to_json());
    }
    result
}

impl From<leasehold_client::Error> for Failure {
    fn from(error: leasehold_client::Error) -> Self {
        let (exit, advice) = advice(&error);
        let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
        Self::new(exit, format!("{error}{advice}"))
    }
}

/// How a command ends after a request that failed, and what to do next.
fn advice(error: &leasehold_client::Error) -> (Exit, Option<&'static str>) {
    use leasehold_client::Error;
    match error {
        Error::Unreachable { .. } => {
            (Exit::Unavailable, Some("`leasehold doctor` says which address is asked, and why"))
        }
        Error::NotServed { .. } | Error::Unexpected { .. } => {
            (Exit::Unavailable, Some("`leasehold doctor` says which server this is"))
        }
        Error::Unauthorized { .. } => {
            (Exit::NotPermitted, Some("set LEASEHOLD_API_AUTH_STRING or PREFECT_API_AUTH_STRING"))
        }
        Error::Forbidden { .. } => (Exit::NotPermitted, None),
        Error::Unavailable { .. } | Error::Redirected { .. } => (Exit::Unavailable, None),
        _ => (Exit::No, None),
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(Exit::from(&fault), fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new code needs a row: the match below names all.
    fn next(exit: Exit) -> Option<Exit> {
        Some(match exit {
            Exit::No => Exit::Pending,
            Exit::Pending => Exit::Usage,
            Exit::Usage => Exit::Data,
            Exit::Data => Exit::Unavailable,
            Exit::Unavailable => Exit::Software,
            Exit::Software => Exit::Os,
            Exit::Os => Exit::CannotCreate,
            Exit::CannotCreate => Exit::Io,
            Exit::Io => Exit::Busy,
            Exit::Busy => Exit::Newer,
            Exit::Newer => Exit::NotPermitted,
            Exit::NotPermitted => Exit::Config,
            Exit::Config => Exit::LockLost,
            Exit::LockLost => Exit::CannotRun,
            Exit::CannotRun => Exit::NotFound,
            Exit::NotFound => Exit::Interrupted,
            Exit::Interrupted => return None,
        })
    }

    #[test]
    fn the_page_of_the_command_line_has_each_code() {
        let page = include_str!("../../../docs/command-line.md");
        for exit in std::iter::successors(Some(Exit::No), |exit| next(*exit)) {
            let row = format!("\n| {} | ", exit as u8);
            assert!(page.contains(&row), "docs/command-line.md lacks {exit:?}");
        }
    }
}
