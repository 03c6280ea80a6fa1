//! What the process was started with: its version, its options and its variables, and how an error
//! of clap names them.

use std::env;
use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::ContextKind;

/// The version, and the commit that it was built from.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_COMMIT"), ")");
/// The commit, or `unknown`.
pub(crate) const COMMIT: &str = env!("BUILD_COMMIT");
/// What our variables begin with.
pub(crate) const OURS: &str = "LEASEHOLD_";

/// The variable that sets an option.
pub(crate) fn variable_of(option: &str) -> String {
    format!("{OURS}{}", option.replace('-', "_").to_uppercase())
}

/// Whether an option stands on our part of the command line.
pub(crate) fn is_given(option: &str) -> bool {
    env::args_os().take_while(|given| given != "--").any(|given| {
        let given = given.to_string_lossy();
        let rest = given.strip_prefix("--").and_then(|given| given.strip_prefix(option));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// The value of a variable. An empty one counts as unset; so does `tcp://…`, which Kubernetes gives
/// to LEASEHOLD_PORT if a service is called `leasehold`.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    let value = env::var_os(name)?;
    let is_set = !value.is_empty() && !value.as_encoded_bytes().starts_with(b"tcp://");
    is_set.then_some(value)
}

/// A command in which variables that count as unset set nothing.
pub(crate) fn without_unset_variables(command: clap::Command) -> clap::Command {
    let counts_as_unset = |name: &OsStr| {
        env::var_os(name).is_some() && name.to_str().is_some_and(|name| variable(name).is_none())
    };
    command
        .mut_args(|arg| match arg.get_env() {
            Some(name) if counts_as_unset(name) => arg.env(Resettable::Reset),
            _ => arg,
        })
        .mut_subcommands(without_unset_variables)
}

/// The option that an error is about, without its dashes.
pub(crate) fn option_of(error: &clap::Error) -> Option<String> {
    let argument = error.get(ContextKind::InvalidArg)?.to_string();
    Some(argument.split(' ').next()?.strip_prefix("--")?.to_owned())
}

/// What is wrong, without the hint at `--help`.
pub(crate) fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let sentence = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = sentence.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

/// Reads a number that is not negative.
pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "has to be a number that is not negative".to_owned())
}
