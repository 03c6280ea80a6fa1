//! The log, in the format that was asked for, from the first line to the last: failures to start
//! and panics are lines of it too.

use std::io::{self, IsTerminal};
use std::panic;

use clap::ValueEnum;
use serde::Deserialize;
use tracing::subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The libraries below us are read at this level at the most: at lower ones they write what they
/// send and get, passwords included.
const OTHERS_LEVEL_MAX: LevelFilter = LevelFilter::INFO;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// Starts the log of a command that is no server: each request that it sends, and what came back.
pub(crate) fn start_verbose() {
    start(LogFormat::Text, LogLevel::Debug);
}

/// Starts the log, which goes to standard error.
pub(super) fn start(format: LogFormat, level: LogLevel) {
    let level = LevelFilter::from(level);
    let levels =
        Targets::new().with_default(level.min(OTHERS_LEVEL_MAX)).with_target("leasehold", level);
    let has_colors =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(has_colors)
        .with_target(false);
    match format {
        LogFormat::Text => tracing_subscriber::registry().with(lines).with(levels).init(),
        LogFormat::Json => {
            tracing_subscriber::registry().with(lines.json()).with(levels).init();
            panic::set_hook(Box::new(|panic| say_error(LogFormat::Json, &panic.to_string())));
        }
    }
}

/// Says an error, whether or not the log has started.
pub(crate) fn say_error(format: LogFormat, sentence: &str) {
    match format {
        LogFormat::Text => crate::output::error(sentence),
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt().json().with_writer(io::stderr).with_target(false);
            subscriber::with_default(lines.finish(), || tracing::error!("{sentence}"));
        }
    }
}
