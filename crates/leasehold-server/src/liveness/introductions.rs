//! Task runs that are introduced before they take the slots of their tags.
//!
//! Clients whose leases on tags have no deadline name a task run when they ask, and nothing else.
//! In which flow run it is, they tell in an event that they begin to send before they ask, and
//! that may come later: another thread sends it. Were the slots given first and the client killed
//! before that event, nobody could ever know that the holder is gone. So whoever asks is heard
//! when its task run is on record; one that is killed before that has asked for nothing.
//!
//! Events may not come at all: a proxy lets no WebSockets through. So nobody waits for longer than
//! for some seconds, and from an address from where nobody is introduced, nobody waits for a while.

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

/// The clients that record their task runs through events, and hold tags without a deadline.
/// Clients before them record a task run first. From 3.4.19 on the task engine takes tags on leases
/// that it renews: of 300 s with 3.4.19, and of 60 s from 3.4.20 on.
const TELLERS: Range<[u64; 3]> = [3, 0, 0]..[3, 4, 19];
/// The first event of a process needs a connection before, and some requests over another one.
const PATIENCE: Span = Span::from_seconds(5);
/// For how long nobody is waited for any more, from the first on who was waited for in vain.
const SILENCE: Span = Span::from_seconds(60);
/// More are not remembered; then everybody is waited for again.
const STRANGERS_MAX: usize = 10_000;

/// Who is to be introduced.
#[derive(Debug, Default)]
pub(crate) struct Introductions(Mutex<Awaited>);

#[derive(Debug, Default)]
struct Awaited {
    by_run: HashMap<Uuid, Vec<oneshot::Sender<()>>>,
    /// Who asked and was not introduced, whether anybody waits or not: from where, and when.
    strangers: HashMap<Uuid, (Option<Peer>, Timestamp)>,
    /// Since when nobody was introduced who asked from there. Clients that give up are waited for
    /// no longer in all than one that does not.
    silent_since: HashMap<Option<Peer>, Timestamp>,
}

/// Waits for one task run, until it is dropped.
struct Waiting<'all> {
    introductions: &'all Introductions,
    run: Uuid,
    introduced: oneshot::Receiver<()>,
}

impl Introductions {
    /// A task run is on record.
    pub(crate) fn made(&self, run: Uuid) {
        let mut awaited = self.awaited();
        if let Some((peer, _)) = awaited.strangers.remove(&run) {
            awaited.silent_since.remove(&peer);
        }
        for waiting in awaited.by_run.remove(&run).into_iter().flatten() {
            // Who waits no longer needs no word.
            let _ = waiting.send(());
        }
    }

    /// Somebody asks from there who was introduced before.
    fn heard_from(&self, peer: Option<Peer>) {
        self.awaited().silent_since.remove(&peer);
    }

    /// Somebody asks from there who was not introduced. Answers until when to wait for that.
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

/// Waits until a task run is on record that asks for tags, if its client is one that tells of it
/// and it may get anything.
///
/// # Errors
///
/// If the server stops meanwhile: whoever asks again is heard by the next one.
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
        // First, so that it says that its time is over.
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
    // Before it is looked for: it may be put on record meanwhile.
    let mut waiting = introductions.wait_for(run);
    let is_on_record =
        recorder.write_in_turn(move |records| Ok(records.run(RunKind::TaskRun, run)?.is_some()));
    match is_on_record.await {
        Ok(false) => {}
        Ok(true) => {
            introductions.heard_from(peer);
            return Ok(());
        }
        // Where nothing can be read, nothing is put on record either.
        Err(_) => return Ok(()),
    }
    if !are_limited(ledger, tags).await? {
        return Ok(());
    }
    let until = introductions.patience_with(run, peer, asked);
    tokio::select! {
        biased;
        // It may have been put on record before it was known where it asks from.
        _ = &mut waiting.introduced => introductions.heard_from(peer),
        () = clock.sleep_until(Some(until)) => {
            if until <= asked {
                tracing::debug!(task_run = %run, "asks for tags, and is not waited for");
            } else {
                tracing::warn!(
                    task_run = %run,
                    "asks for tags, and its client tells nothing of it: should it be killed while \
                     it holds them, an operator has to take them. Do its WebSockets reach this \
                     server?"
                );
            }
        }
    }
    Ok(())
}

/// Whether there is a limit for any of some tags.
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
