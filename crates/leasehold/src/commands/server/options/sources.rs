//! Where the value of an option comes from, so that an error names the place where it was set.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use toml::de::DeTable;

use super::{Options, project_dirs, variables};
use crate::args::{is_given, variable_of};
use crate::exit::Exit;

/// Where an option was set.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::commands::server) enum Source {
    Flag(&'static str),
    Variable(String),
    File {
        key: String,
        path: PathBuf,
        line: usize,
    },
    /// Nowhere: it has its default.
    Default(&'static str),
}

/// The file of options, if there is one.
#[derive(Debug, Default)]
pub(super) struct Sources {
    file: Option<(PathBuf, String)>,
}

/// Why the options make no sense.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands::server) enum OptionsError {
    #[error("the file {} cannot be read: {error}; make it readable, or name another with --config", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the file {} is wrong in line {line}: {message}", path.display())]
    Malformed { path: PathBuf, line: usize, message: String },
    #[error("the variable {name} is wrong: '{value}' is not {expected}")]
    Variable { name: &'static str, value: String, expected: &'static str },
    #[error("the variable {name} is wrong: it is no UTF-8")]
    NotText { name: &'static str },
    #[error("{source_of} is {value}, which must be {expected}")]
    OutOfRange { source_of: Source, value: String, expected: String },
    #[error("{source_of} has '{value}', which is not {expected}")]
    NoName { source_of: Source, value: String, expected: &'static str },
    #[error("{0} is empty; give USER:PASSWORD, or leave it out and let everyone in")]
    NoPassword(Source),
    #[error("there is no data directory on this platform; set one with --data-dir")]
    NoDataDirectory,
}

impl OptionsError {
    /// The command line is to blame for what stands there.
    pub(in crate::commands::server) fn exit(&self) -> Exit {
        match self {
            Self::OutOfRange { source_of: Source::Flag(_), .. }
            | Self::NoName { source_of: Source::Flag(_), .. }
            | Self::NoPassword(Source::Flag(_)) => Exit::Usage,
            _ => Exit::Config,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(option) | Self::Default(option) => write!(f, "--{option}"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::File { key, path, line } => {
                write!(f, "{key} in line {line} of the file {}", path.display())
            }
        }
    }
}

impl Sources {
    /// The file that was named has to be there; the one in its usual place may be missing.
    pub(super) fn read(named: Option<PathBuf>) -> Result<Self, OptionsError> {
        let is_named = named.is_some();
        let path = match named {
            Some(path) => path,
            None => project_dirs()?.config_dir().join("config.toml"),
        };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self { file: Some((path, text)) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => {
                Ok(Self::default())
            }
            Err(error) => Err(OptionsError::Unreadable { path, error }),
        }
    }

    /// The options in the file.
    pub(super) fn options(&self) -> Result<Options, OptionsError> {
        let Some((path, text)) = &self.file else { return Ok(Options::default()) };
        toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let message = error.message().to_owned();
            OptionsError::Malformed { path: path.clone(), line, message }
        })
    }

    /// Where an option was set, as the options take precedence over each other.
    pub(super) fn of(&self, option: &'static str) -> Source {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let ours = variable_of(option);
        if is_given(option) {
            Source::Flag(option)
        } else if is_set(&ours) {
            Source::Variable(ours)
        } else if let Some(source) = self.in_file(&option.replace('-', "_")) {
            source
        } else {
            match variables::prefect_variable(option).filter(|name| is_set(name)) {
                Some(name) => Source::Variable(name.to_owned()),
                None => Source::Default(option),
            }
        }
    }

    fn in_file(&self, key: &str) -> Option<Source> {
        let (path, text) = self.file.as_ref()?;
        let table = DeTable::parse(text).ok()?;
        let (found, _) = table.get_ref().get_key_value(key)?;
        let line = line_of(text, found.span().start);
        Some(Source::File { key: key.to_owned(), path: path.clone(), line })
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().matches('\n').count() + 1
}
