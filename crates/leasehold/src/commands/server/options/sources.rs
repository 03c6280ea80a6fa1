//! Where options are set: the command line, our variables, the file, the variables of a Prefect
//! server. An error names the place.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use clap::FromArgMatches;
use directories::ProjectDirs;
use leasehold_journal::SettingsError;
use toml::de::{DeTable, DeValue};

use super::declared::Options;
use super::names::nearest;
use crate::args::{
    in_one_line, is_given, option_of, variable, variable_of, without_unset_variables,
};
use crate::exit::Exit;

/// The options that have a variable of a Prefect server.
const PREFECT: [(&str, &str); 5] = [
    ("tag-wait-seconds", "PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS"),
    ("wait-seconds-max", "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS"),
    ("page-size", "PREFECT_SERVER_API_DEFAULT_LIMIT"),
    ("auth-string", "PREFECT_SERVER_API_AUTH_STRING"),
    ("csrf-protection", "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"),
];

/// The platform's directories for our data and configuration.
pub(super) fn project_dirs() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "leasehold")
}

/// Where an option was set.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::commands::server) enum Source {
    Flag(String),
    Variable(String),
    Prefect(&'static str),
    File {
        key: String,
        path: PathBuf,
        line: usize,
    },
    /// Nowhere: it has its default.
    Default(String),
}

/// The file of options, if there is one.
#[derive(Debug, Default)]
pub(super) struct Sources {
    path: PathBuf,
    /// The value of each option in the file, as a flag would have it, and its line.
    file: BTreeMap<String, (String, usize)>,
}

/// Why the options make no sense.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands::server) enum OptionsError {
    #[error(
        "the file {} cannot be read: {error}; make it readable, or name another with --config",
        path.display()
    )]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the file {} is wrong in line {line}: {message}", path.display())]
    Malformed { path: PathBuf, line: usize, message: String },
    #[error("{source_of} is wrong: {message}")]
    Wrong { source_of: Source, message: String },
    #[error("the variable {name} is wrong: it is no UTF-8")]
    NotText { name: &'static str },
    #[error("{source_of} is {value}, which must be {expected}")]
    OutOfRange { source_of: Source, value: String, expected: String },
    #[error("{source_of} has '{value}', which is not {expected}")]
    NoName { source_of: Source, value: String, expected: &'static str },
    #[error("{0} is empty; give USER:PASSWORD, or leave it out and let everyone in")]
    NoPassword(Source),
    #[error("{source_of} is wrong: {error}")]
    Journal { source_of: Source, error: SettingsError },
    #[error("there is no data directory on this platform; set one with --data-dir")]
    NoDataDirectory,
}

impl OptionsError {
    /// The exit code: whether the command line is wrong, or the file or a variable.
    pub(in crate::commands::server) fn exit(&self) -> Exit {
        match self {
            Self::OutOfRange { source_of: Source::Flag(_), .. }
            | Self::NoName { source_of: Source::Flag(_), .. }
            | Self::NoPassword(Source::Flag(_))
            | Self::Journal { source_of: Source::Flag(_), .. } => Exit::Usage,
            _ => Exit::Config,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(option) | Self::Default(option) => write!(f, "--{option}"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Prefect(name) => write!(f, "the variable {name}"),
            Self::File { key, path, line } => {
                write!(f, "{key} in line {line} of the file {}", path.display())
            }
        }
    }
}

impl Sources {
    /// Reads the file. One that is named has to exist; the one in the usual place may be missing.
    pub(super) fn read(named: Option<PathBuf>) -> Result<Self, OptionsError> {
        let is_named = named.is_some();
        let path = match named {
            Some(path) => path,
            None => project_dirs()
                .ok_or(OptionsError::NoDataDirectory)?
                .config_dir()
                .join("config.toml"),
        };
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => {
                Ok(Self::default())
            }
            Err(error) => Err(OptionsError::Unreadable { path, error }),
        }
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, OptionsError> {
        let line_of = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let malformed = |at: usize, message: String| OptionsError::Malformed {
            path: path.clone(),
            line: line_of(at),
            message,
        };
        let table = DeTable::parse(text).map_err(|error| {
            malformed(error.span().map_or(0, |span| span.start), error.message().to_owned())
        })?;
        let mut file = BTreeMap::new();
        for (key, value) in table.get_ref() {
            let start = key.span().start;
            let value = value_of(value.get_ref()).ok_or_else(|| {
                malformed(start, format!("`{}` is no text, number, truth or list", key.get_ref()))
            })?;
            file.insert(key.get_ref().replace('_', "-"), (value, line_of(start)));
        }
        Ok(Self { path, file })
    }

    /// Where an option is set. A flag wins over our variable, that over the file, and the file over
    /// the variable of a Prefect server.
    pub(super) fn of(&self, option: &str) -> Source {
        if is_given(option) {
            return Source::Flag(option.to_owned());
        }
        let ours = variable_of(option);
        if variable(&ours).is_some() {
            return Source::Variable(ours);
        }
        if let Some(source) = self.in_line(option) {
            return source;
        }
        let theirs = PREFECT.iter().find(|(ours, _)| *ours == option);
        match theirs.filter(|(_, name)| variable(name).is_some()) {
            Some((_, name)) => Source::Prefect(name),
            None => Source::Default(option.to_owned()),
        }
    }

    /// Reads the options once more, with what the file and the variables of a Prefect server say in
    /// place of the defaults. `cli` is the whole command line.
    pub(super) fn complete(
        &self,
        options: Options,
        cli: clap::Command,
    ) -> Result<Options, OptionsError> {
        let known = known_options(&cli);
        self.check_keys(&known)?;
        let cli = without_unset_variables(cli);
        // A wrong value in the file is an error also if a flag or a variable wins over it.
        let start = ["leasehold", "server", "start"].map(OsString::from);
        let in_file = self.file.iter().map(|(option, (value, _))| flag(option, value));
        let checked = cli.clone().try_get_matches_from(start.into_iter().chain(in_file));
        checked.map_err(|error| {
            let option = option_of(&error).unwrap_or_default();
            self.wrong(self.in_line(&option), &error)
        })?;
        let flags = self.flags(&known)?;
        if flags.is_empty() {
            return Ok(options);
        }
        let matches = cli.try_get_matches_from(env::args_os().chain(flags));
        let options = matches.and_then(|mut matches| {
            let (_, mut server) = matches.remove_subcommand().unwrap_or_default();
            let (_, start) = server.remove_subcommand().unwrap_or_default();
            Options::from_arg_matches(&start)
        });
        options.map_err(|error| {
            let option = option_of(&error).unwrap_or_default();
            self.wrong(Some(self.of(&option)), &error)
        })
    }

    fn wrong(&self, source_of: Option<Source>, error: &clap::Error) -> OptionsError {
        let message = in_one_line(error);
        match source_of {
            Some(source_of) => OptionsError::Wrong { source_of, message },
            None => OptionsError::Malformed { path: self.path.clone(), line: 1, message },
        }
    }

    fn check_keys(&self, known: &[String]) -> Result<(), OptionsError> {
        let Some((key, (_, line))) = self.file.iter().find(|(key, _)| !known.contains(key)) else {
            return Ok(());
        };
        let hint = nearest(key, known.iter().map(String::as_str));
        let hint = hint.map(|near| format!("; did you mean `{}`?", near.replace('-', "_")));
        let key = key.replace('-', "_");
        let message = format!("there is no option `{key}`{}", hint.unwrap_or_default());
        Err(OptionsError::Malformed { path: self.path.clone(), line: *line, message })
    }

    /// What the file and the variables of a Prefect server set, as flags.
    fn flags(&self, known: &[String]) -> Result<Vec<OsString>, OptionsError> {
        let mut flags = Vec::new();
        for option in known {
            match self.of(option) {
                Source::File { .. } => {
                    flags.extend(self.in_file(option).map(|value| flag(option, value)));
                }
                Source::Prefect(name) => match env::var(name) {
                    Ok(value) => flags.push(flag(option, value.trim())),
                    Err(_) => return Err(OptionsError::NotText { name }),
                },
                _ => {}
            }
        }
        Ok(flags)
    }

    /// Where the file sets an option.
    fn in_line(&self, option: &str) -> Option<Source> {
        let (_, line) = self.file.get(option)?;
        let key = option.replace('-', "_");
        Some(Source::File { key, path: self.path.clone(), line: *line })
    }

    /// What the file says of an option.
    pub(super) fn in_file(&self, option: &str) -> Option<&str> {
        self.file.get(option).map(|(value, _)| value.as_str())
    }
}

fn flag(option: &str, value: &str) -> OsString {
    OsString::from(format!("--{option}={value}"))
}

/// The options of `server start` that the file can set: all that have a variable, but for the name
/// of the file.
fn known_options(cli: &clap::Command) -> Vec<String> {
    let start = cli.find_subcommand("server").and_then(|server| server.find_subcommand("start"));
    let options = start.into_iter().flat_map(clap::Command::get_arguments);
    let options = options.filter(|option| option.get_env().is_some());
    let names = options.filter_map(|option| option.get_long().map(str::to_owned));
    names.filter(|name| name != "config").collect()
}

/// A value of the file as a flag has it; lists have commas between.
fn value_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| value_of(item.get_ref())).collect();
            Some(items?.join(","))
        }
        _ => None,
    }
}
