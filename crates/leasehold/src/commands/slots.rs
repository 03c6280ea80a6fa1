//! What commands that take slots have in common: the limits that they name, the server, what they
//! say while they wait, and why they were granted nothing.

mod queue;

use std::time::Duration;

use leasehold_client::{Client, Error, Wait};

pub(super) use self::queue::{Queue, holder_name};
use crate::commands::api;
use crate::commands::session::Session;
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output;

/// For how long a request is sent again while a server does not answer.
const RETRY_FOR: Duration = Duration::from_secs(10);
/// The longest that a server grants.
const KEEP_MAX: Duration = Duration::from_secs(86_400);
/// How many limits an error suggests.
const SUGGESTED_MAX: usize = 3;
/// How alike a suggested name is at least.
const ALIKE: f64 = 0.75;

/// A limit on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedLimit {
    pub(crate) name: String,
    pub(crate) slots: u64,
}

/// Reads `NAME` or `NAME=SLOTS`.
pub(crate) fn wanted(text: &str) -> Result<WantedLimit, String> {
    let (name, slots) = match text.rsplit_once('=') {
        Some((name, slots)) => match slots.parse() {
            Ok(slots) if slots > 0 => (name, slots),
            _ => return Err(format!("{slots:?} is no number of slots; write {name}=2")),
        },
        None => (text, 1),
    };
    if name.is_empty() {
        return Err("the name of the limit is empty".to_owned());
    }
    Ok(WantedLimit { name: name.to_owned(), slots })
}

/// Reads how long slots are kept.
pub(crate) fn parse_keep(text: &str) -> Result<Duration, String> {
    let keep = duration::parse(text)?;
    if (Duration::from_secs(1)..=KEEP_MAX).contains(&keep) {
        Ok(keep)
    } else {
        Err("has to be from 1s to 24h".to_owned())
    }
}

/// The server. A command that holds slots waits for a restart before it gives up.
pub(crate) fn connect(session: &Session) -> Result<Client, Failure> {
    api::connect(session, RETRY_FOR)
}

/// `--wait`, as the SDK has it.
pub(crate) fn wait_of(wait: Option<Duration>) -> Wait {
    wait.map_or(Wait::Forever, Wait::from)
}

/// Why slots were not granted, and what to do next.
pub(crate) async fn not_granted(client: &Client, error: Error, queue: &Queue) -> Failure {
    match error {
        Error::Full(no_room) => {
            let names: Vec<_> = no_room.waiting_for.iter().map(|full| full.name.clone()).collect();
            let waited = duration::show(queue.waited());
            let held = queue.look(&names).await;
            let names = output::plain(&names.join(", ")).into_owned();
            let message = format!("there was no room on {names} within {waited}: {held}");
            Failure::new(Exit::Busy, message)
        }
        Error::LimitsMissing(missing) => {
            let mut message = missing.detail.clone();
            let near = nearest(client, &missing.missing).await;
            if !near.is_empty() {
                message.push_str(&format!(" Did you mean {}?", near.join(" or ")));
            }
            let name = missing.missing.first().map_or("NAME", String::as_str);
            message.push_str(&format!(" Create it with `leasehold gcl create {name} --limit 1`"));
            Failure::new(Exit::No, message)
        }
        error => error.into(),
    }
}

/// The names of limits that are most like the missing ones.
async fn nearest(client: &Client, missing: &[String]) -> Vec<String> {
    let Ok(limits) = client.limits().await else { return Vec::new() };
    let mut alike: Vec<(f64, String)> = Vec::new();
    for name in missing {
        let likeness =
            |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
        let near = limits.iter().map(|limit| (likeness(&limit.name), limit.name.clone()));
        alike.extend(near.filter(|(likeness, _)| *likeness >= ALIKE));
    }
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut names: Vec<_> = alike.into_iter().map(|(_, name)| format!("'{name}'")).collect();
    names.dedup();
    names.truncate(SUGGESTED_MAX);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_and_without_slots() {
        let limit = |name: &str, slots| Ok(WantedLimit { name: name.to_owned(), slots });
        assert_eq!(wanted("db"), limit("db", 1));
        assert_eq!(wanted("db=3"), limit("db", 3));
        assert_eq!(wanted("a=b=3"), limit("a=b", 3));
        for text in ["", "=1", "db=", "db=0", "db=two"] {
            assert!(wanted(text).is_err(), "{text}");
        }
    }
}
