//! Where a setting comes from, and what can be wrong with it.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The URL cannot be one of an API.
    #[error("{url:?} ({from}) is no URL of an API: {why}")]
    Url {
        /// What was given.
        url: String,
        /// Where it was given.
        from: Source,
        /// What is wrong with it.
        why: String,
    },
    /// Prefect's file has no such profile, or there is no such file.
    #[error("Prefect's profiles have no {0:?}; `prefect profile ls` lists them")]
    Profile(String),
    /// A variable is no text.
    #[error("the variable {0} is no UTF-8")]
    Variable(&'static str),
    /// Credentials have characters that no header can have.
    #[error("the credentials ({0}) have characters that cannot be sent")]
    Credentials(Source),
    /// A file cannot be read, or does not hold what it should.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS or the HTTP client cannot be set up.
    #[error("failed to set up TLS: {0}")]
    Tls(String),
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The program said it.
    Given,
    /// An environment variable.
    Variable(&'static str),
    /// A profile of Prefect's file.
    Profile {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// Nothing said it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("given"),
            Self::Variable(name) => write!(f, "from {name}"),
            Self::Profile { name, path } => {
                write!(f, "from profile {name:?} of {}", path.display())
            }
            Self::Default => f.write_str("the default"),
        }
    }
}

/// The value of a variable. An empty one counts as unset.
pub(crate) fn text(
    variable: &dyn Fn(&str) -> Option<OsString>,
    name: &'static str,
) -> Result<Option<String>, SettingsError> {
    let Some(value) = variable(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| SettingsError::Variable(name))
}
