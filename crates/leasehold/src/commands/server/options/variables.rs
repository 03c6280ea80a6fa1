//! Variables of the environment beyond our own options: those of a Prefect server, which come along,
//! and those that look like ours and are none.

use std::env;
use std::str::FromStr;

use clap::CommandFactory;

use super::Options;
use super::sources::OptionsError;
use crate::args::{Cli, OURS};

/// Below this, two names are not alike.
const LIKENESS_MIN: f64 = 0.75;

/// The options that have a variable of a Prefect server.
const PREFECT: [(&str, &str); 5] = [
    ("tag-wait-seconds", "PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS"),
    ("wait-seconds-max", "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS"),
    ("page-size", "PREFECT_SERVER_API_DEFAULT_LIMIT"),
    ("auth-string", "PREFECT_SERVER_API_AUTH_STRING"),
    ("csrf-protection", "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"),
];

/// The variable of a Prefect server that sets an option, if there is one.
pub(super) fn prefect_variable(option: &str) -> Option<&'static str> {
    PREFECT.iter().find(|(ours, _)| *ours == option).map(|(_, theirs)| *theirs)
}

/// What the variables of a Prefect server say.
pub(super) fn of_prefect() -> Result<Options, OptionsError> {
    let csrf_protection = prefect::<Truth>("csrf-protection", "true or false")?;
    Ok(Options {
        tag_wait_seconds: prefect("tag-wait-seconds", "a number of seconds")?,
        wait_seconds_max: prefect("wait-seconds-max", "a number of seconds")?,
        page_size: prefect("page-size", "a number of results")?,
        auth_string: prefect("auth-string", "text")?,
        csrf_protection: csrf_protection.map(|truth| truth.0),
        ..Options::default()
    })
}

fn prefect<T: FromStr>(option: &str, expected: &'static str) -> Result<Option<T>, OptionsError> {
    let Some(name) = prefect_variable(option) else { return Ok(None) };
    let value = match env::var(name) {
        Ok(value) if !value.is_empty() => value,
        Ok(_) | Err(env::VarError::NotPresent) => return Ok(None),
        Err(env::VarError::NotUnicode(_)) => return Err(OptionsError::NotText { name }),
    };
    match value.trim().parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(_) => Err(OptionsError::Variable { name, value, expected }),
    }
}

/// True or false in all the spellings that a Prefect server takes.
struct Truth(bool);

impl FromStr for Truth {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Ok(Self(true)),
            "0" | "false" | "f" | "no" | "n" | "off" => Ok(Self(false)),
            _ => Err(()),
        }
    }
}

/// What is odd about the variables that look like ours.
pub(super) fn warnings() -> Vec<String> {
    let mut known = Vec::new();
    collect(&Cli::command(), &mut known);
    let set = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut warnings: Vec<_> = set
        .filter(|(name, _)| name.starts_with(OURS))
        .filter_map(|(name, value)| match name.as_str() {
            "LEASEHOLD_AUTH_STRING" if value.is_empty() => {
                Some(format!("the variable {name} is empty and sets no password"))
            }
            _ => unknown(&name, &known),
        })
        .collect();
    warnings.sort();
    warnings
}

/// The variables of a command and of those below it.
fn collect(command: &clap::Command, known: &mut Vec<String>) {
    let variables = command.get_arguments().filter_map(clap::Arg::get_env);
    known.extend(variables.filter_map(|name| name.to_str().map(str::to_owned)));
    command.get_subcommands().for_each(|command| collect(command, known));
}

fn unknown(name: &str, known: &[String]) -> Option<String> {
    let rest = name.strip_prefix(OURS)?;
    // Kubernetes sets these in each container beside a service that is called `leasehold`.
    if rest.starts_with("SERVICE_") || rest.starts_with("PORT_") {
        return None;
    }
    if known.iter().any(|known| known == name) {
        return None;
    }
    let likeness =
        |known: &str| strsim::jaro_winkler(rest, known.strip_prefix(OURS).unwrap_or_default());
    let nearest = known.iter().map(|known| (likeness(known), known));
    let nearest = nearest.max_by(|(one, _), (other, _)| one.total_cmp(other));
    Some(match nearest.filter(|(likeness, _)| *likeness > LIKENESS_MIN) {
        Some((_, nearest)) => {
            format!("the variable {name} is not known and changes nothing; did you mean {nearest}?")
        }
        None => format!("the variable {name} is not known and changes nothing"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_misspelt_is_told_its_name() {
        let mut known = Vec::new();
        collect(&Cli::command(), &mut known);
        let check = |name: &str, said: Option<&str>| {
            let warning = unknown(name, &known);
            match said {
                None => assert_eq!(warning, None),
                Some(said) => assert!(warning.as_ref().unwrap().ends_with(said), "{warning:?}"),
            }
        };
        check("LEASEHOLD_PORT", None);
        check("LEASEHOLD_REDIS", None);
        check("LEASEHOLD_PASSWORT", Some("changes nothing"));
        check("LEASEHOLD_AUTHSTRING", Some("did you mean LEASEHOLD_AUTH_STRING?"));
        check("LEASEHOLD_EVENT_MAX", Some("did you mean LEASEHOLD_EVENTS_MAX?"));
        check("LEASEHOLD_SERVICE_HOST", None);
        check("LEASEHOLD_PORT_4200_TCP_ADDR", None);
    }
}
