//! Holds requests for tags back until their task run is on record.
//!
//! Some clients hold tags without a deadline, and their request names only a task run. They report
//! its flow run in an event. They begin to send the event before the request, but from another
//! thread, so it may arrive later. Suppose that the slots were granted first and the client killed
//! before that event: no component could ever know that the holder is gone. So a request waits
//! until its task run is on record. The request of a client that is killed before that never
//! reaches the ledger.
//!
//! Events may not arrive at all, for example if a proxy drops WebSockets. So a request waits for
//! some seconds at most. Then requests from an address whose task runs are not recorded do not wait
//! for a while.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use leasehold_engine::{LimitRef, Scope, Span, TAG_PREFIX, Timestamp};
use leasehold_node::{Handle, Unavailable};
use leasehold_records::RunKind;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::access::agent::PrefectClient;
use crate::access::peer::Peer;
use crate::http::sockets::Stopping;
use crate::records::Recorder;

/// The clients that record their task runs through events, and hold tags without a deadline. Older
/// clients record a task run before they request its tags. From 3.4.19 on, the task engine requests
/// tags on leases that it renews: of 300 s with 3.4.19, and of 60 s from 3.4.20 on.
const TELLERS: Range<[u64; 3]> = [3, 0, 0]..[3, 4, 19];
/// How long requests from one address wait, from its first request without a record on. The first
/// event of a process needs a connection first, and some requests over another one.
const PATIENCE: Span = Span::from_seconds(5);
/// How long after that first request an address has [`PATIENCE`] again.
const SILENCE: Span = Span::from_seconds(60);
/// How many task runs and addresses are remembered. Beyond, all are forgotten, and every address
/// has [`PATIENCE`] again.
const STRANGERS_MAX: usize = 10_000;

/// The task runs that are not on record yet, and the requests that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Introductions(Mutex<Awaited>);

#[derive(Debug, Default)]
struct Awaited {
    by_run: HashMap<Uuid, Vec<oneshot::Sender<()>>>,
    /// Task runs that requested tags without being on record, whether a request still waits or not:
    /// from which address, and when.
    strangers: HashMap<Uuid, (Option<Peer>, Timestamp)>,
    /// When each address first asked without its run being recorded. Clients that give up get no
    /// more time in all than one that does not.
    silent_since: HashMap<Option<Peer>, Timestamp>,
}

/// Waits for one task run, until it is dropped.
struct Waiting<'all> {
    introductions: &'all Introductions,
    run: Uuid,
    introduced: oneshot::Receiver<()>,
}

impl Introductions {
    /// Wakes the requests that wait for a task run, which is on record now.
    pub(crate) fn made(&self, run: Uuid) {
        let mut awaited = self.awaited();
        if let Some((peer, _)) = awaited.strangers.remove(&run) {
            awaited.silent_since.remove(&peer);
        }
        for waiting in awaited.by_run.remove(&run).into_iter().flatten() {
            // The request may have ended.
            let _ = waiting.send(());
        }
    }

    /// Notes a request from this address whose task run is on record.
    fn heard_from(&self, peer: Option<Peer>) {
        self.awaited().silent_since.remove(&peer);
    }

    /// Notes a request from this address whose task run is not on record. Returns until when it
    /// waits.
    fn patience_with(&self, run: Uuid, peer: Option<Peer>, now: Timestamp) -> Timestamp {
        let awaited = &mut *self.awaited();
        if awaited.strangers.len() >= STRANGERS_MAX {
            awaited.strangers.retain(|_, (_, asked)| now.since(*asked) < SILENCE);
        }
        if awaited.strangers.len() >= STRANGERS_MAX || awaited.silent_since.len() >= STRANGERS_MAX {
            awaited.strangers.clear();
            awaited.silent_since.clear();
        }
        awaited.strangers.insert(run, (peer, now));
        let since = awaited.silent_since.entry(peer).or_insert(now);
        if now.since(*since) >= SILENCE {
            *since = now;
        }
        *since + PATIENCE
    }

    fn wait_for(&self, run: Uuid) -> Waiting<'_> {
        let (made, introduced) = oneshot::channel();
        self.awaited().by_run.entry(run).or_default().push(made);
        Waiting { introductions: self, run, introduced }
    }

    fn awaited(&self) -> MutexGuard<'_, Awaited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.introduced.close();
        let mut awaited = self.introductions.awaited();
        if let Some(waiting) = awaited.by_run.get_mut(&self.run) {
            waiting.retain(|waiting| !waiting.is_closed());
            if waiting.is_empty() {
                awaited.by_run.remove(&self.run);
            }
        }
    }
}

/// What a wait needs.
pub(crate) struct Needs<'app> {
    pub(crate) introductions: &'app Introductions,
    pub(crate) ledger: &'app Handle,
    pub(crate) recorder: &'app Recorder,
    pub(crate) stopping: Stopping,
}

/// Waits until the task run that requests tags is on record. Returns at once if its client is none
/// of [`TELLERS`], or if no tag has a limit.
///
/// # Errors
///
/// If the server stops meanwhile, or the ledger does not answer. The next server serves the retry.
pub(crate) async fn wait(
    needs: &Needs<'_>,
    client: PrefectClient,
    peer: Option<Peer>,
    run: Uuid,
    tags: &[String],
) -> Result<(), Unavailable> {
    if !client.version.is_some_and(|version| TELLERS.contains(&version)) {
        return Ok(());
    }
    let clock = needs.ledger.clock();
    let asked = clock.now();
    let mut stopping = needs.stopping.clone();
    tokio::select! {
        // First, so that it can log that its time is over.
        biased;
        waited = introduction(needs, peer, run, tags, asked) => waited,
        () = stopping.heard() => Err(Unavailable::Stopping),
        () = clock.sleep_until(Some(asked + PATIENCE)) => Ok(()),
    }
}

async fn introduction(
    needs: &Needs<'_>,
    peer: Option<Peer>,
    run: Uuid,
    tags: &[String],
    asked: Timestamp,
) -> Result<(), Unavailable> {
    let Needs { introductions, ledger, recorder, .. } = needs;
    let clock = ledger.clock();
    // Before the search: the run may be recorded meanwhile.
    let mut waiting = introductions.wait_for(run);
    let is_on_record =
        recorder.write_in_turn(move |records| Ok(records.run(RunKind::TaskRun, run)?.is_some()));
    match is_on_record.await {
        Ok(false) => {}
        Ok(true) => {
            introductions.heard_from(peer);
            return Ok(());
        }
        // If the records cannot be read, no event can be recorded either.
        Err(_) => return Ok(()),
    }
    if !are_limited(ledger, tags).await? {
        return Ok(());
    }
    let until = introductions.patience_with(run, peer, asked);
    tokio::select! {
        biased;
        // The run may have been recorded before its address was noted: then `made` did not clear
        // the address.
        _ = &mut waiting.introduced => introductions.heard_from(peer),
        () = clock.sleep_until(Some(until)) => {
            if until <= asked {
                tracing::debug!(task_run = %run, "not recorded; its request does not wait");
            } else {
                tracing::warn!(
                    task_run = %run,
                    "no event recorded this task run in time; if its process dies now, release its \
                     slots by hand. Check that WebSockets reach /api/events/in."
                );
            }
        }
    }
    Ok(())
}

/// Whether any of the tags has a limit.
async fn are_limited(ledger: &Handle, tags: &[String]) -> Result<bool, Unavailable> {
    for tag in tags {
        let limit = LimitRef::Name(format!("{TAG_PREFIX}{tag}").into());
        if ledger.limit(limit, Scope::Tags).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
