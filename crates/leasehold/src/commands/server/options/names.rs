//! Names that look like ours and are none: a variable or a key that was misspelt.

use std::env;

use crate::args::OURS;

/// Below this, two names are not alike.
const LIKENESS_MIN: f64 = 0.75;

/// What is odd about the variables that look like ours.
pub(super) fn warnings(cli: &clap::Command) -> Vec<String> {
    let mut known = Vec::new();
    collect(cli, &mut known);
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
    let hint = nearest(rest, known.iter().filter_map(|known| known.strip_prefix(OURS)));
    let hint = hint.map(|near| format!("; did you mean {OURS}{near}?")).unwrap_or_default();
    Some(format!("the variable {name} is not known and changes nothing{hint}"))
}

/// The known name that is most like this one, if one is like it at all.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = known.map(|known| (strsim::jaro_winkler(name, known), known));
    let (likeness, nearest) = likeness.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (likeness > LIKENESS_MIN).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_gets_a_hint_at_its_name() {
        let known =
            ["PORT", "REDIS", "AUTH_STRING", "EVENTS_MAX"].map(|name| format!("{OURS}{name}"));
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
