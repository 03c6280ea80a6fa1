//! What a request for slots says while it waits: its place, and who holds them since when.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_api::Timestamp;
use leasehold_api::leases::LimitLease;
use leasehold_client::{Client, Waiting};
use tokio::time::{Instant, sleep, timeout};

use crate::commands::who::who;
use crate::duration;
use crate::output;
use crate::time;

/// The first line comes after this long.
const FIRST_AFTER: Duration = Duration::from_millis(500);
/// How often the server is asked for the holders.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// An answer that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A request that waits, and what it has seen of its queue.
pub(crate) struct Queue {
    client: Client,
    /// The limits that it names.
    names: Vec<String>,
    /// How long it waits at most; `None` for ever.
    at_most: Option<Duration>,
    since: Instant,
    seen: Arc<Mutex<Option<Waiting>>>,
}

impl Queue {
    pub(crate) fn new(client: &Client, names: Vec<String>, at_most: Option<Duration>) -> Self {
        let (client, since) = (client.clone(), Instant::now());
        Self { client, names, at_most, since, seen: Arc::default() }
    }

    /// What the request calls while it waits.
    pub(crate) fn watcher(&self) -> impl FnMut(&Waiting) + Send + 'static {
        let seen = Arc::clone(&self.seen);
        move |waiting| *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiting.clone())
    }

    pub(crate) fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Says what it waits for, until it is dropped: on a terminal in one line, else only that the
    /// server cannot be reached.
    pub(crate) async fn report(&self) -> Infallible {
        sleep(FIRST_AFTER).await;
        if output::progress_is_seen() { self.redraw().await } else { self.log().await }
    }

    async fn redraw(&self) -> Infallible {
        let mut held = String::new();
        let mut asked_at: Option<Instant> = None;
        loop {
            let seen = self.seen();
            let trouble = seen.as_ref().and_then(|waiting| waiting.trouble.clone());
            if trouble.is_none() && asked_at.is_none_or(|at| at.elapsed() >= ASKED_EVERY) {
                let blocking = seen.as_ref().map(|waiting| waiting.blocked_by.clone());
                held = self.look(&blocking.unwrap_or_default()).await;
                asked_at = Some(Instant::now());
            }
            let place = seen.as_ref().and_then(|waiting| waiting.position);
            let place = place.map(|place| format!("place {place}, ")).unwrap_or_default();
            let what = trouble.map_or_else(|| format!("{place}{held}"), |it| it.to_string());
            let names = self.names.join(", ");
            // The holder comes last: a long name is cut off.
            output::progress(&format!("waiting {} for {names}: {what}", self.so_far()));
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn log(&self) -> Infallible {
        let mut was_in_trouble = false;
        loop {
            let trouble = self.seen().and_then(|waiting| waiting.trouble);
            if let (Some(trouble), false) = (&trouble, was_in_trouble) {
                output::say(&format!("waiting: {trouble}"));
            }
            was_in_trouble = trouble.is_some();
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn seen(&self) -> Option<Waiting> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn so_far(&self) -> String {
        let so_far = duration::show(self.waited());
        match self.at_most {
            Some(at_most) => format!("{so_far} of {}", duration::show(at_most)),
            None => so_far,
        }
    }

    /// Who holds the first of these limits that has holders, in words; of the request's own, if
    /// none is named.
    pub(crate) async fn look(&self, names: &[String]) -> String {
        let names = if names.is_empty() { &self.names } else { names };
        for name in names {
            match timeout(PATIENCE, self.client.holders(name)).await {
                Ok(Ok(holders)) => {
                    if let Some(oldest) = holders.first() {
                        let about =
                            if names.len() > 1 { format!("{name} ") } else { String::new() };
                        return format!("{about}{}", held_by(oldest, holders.len() - 1));
                    }
                }
                Ok(Err(_)) | Err(_) => return "its holders are not known".to_owned(),
            }
        }
        "nobody holds it at this moment".to_owned()
    }
}

/// `held since 09:12:45Z by process web-1:4242, and 2 more`. The clock of the server may differ
/// from ours, so that it is no age.
fn held_by(holder: &LimitLease, others: usize) -> String {
    let since = holder.created.map(|created| format!("since {} ", moment(created, time::now())));
    let more = if others == 0 { String::new() } else { format!(", and {others} more") };
    format!("held {}by {}{more}", since.unwrap_or_default(), holder_name(holder))
}

/// A time without its date if that is today.
fn moment(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (time::shown(at), time::shown(now));
    match (at.split_once(' '), now.split_once(' ')) {
        (Some((date, time)), Some((today, _))) if date == today => time.to_owned(),
        _ => at,
    }
}

/// The holder as people know it.
pub(crate) fn holder_name(lease: &LimitLease) -> String {
    match &lease.without_lease {
        Some(_) => "slots without a lease".to_owned(),
        None => who(lease.holder.as_ref(), lease.origin.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_today_has_no_date() {
        let at = Timestamp(1_795_208_576_121_815);
        assert_eq!(moment(at, at), "21:02:56Z");
        assert_eq!(moment(at, Timestamp(0)), "2026-11-20 21:02:56Z");
    }
}
