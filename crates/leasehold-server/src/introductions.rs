//! Task runs that introduce themselves before they are handed the slots of their tags.
//!
//! Clients whose leases on tags have no deadline (3.0 up to the version that renews them) name a
//! task run when they ask, and nothing else. In which flow run it is, they tell in an event that
//! they begin to send before they ask, and that may come later: another thread sends it. Were the
//! slots handed over first and the client killed before that event, nobody could ever know that
//! the holder is gone. So whoever is granted slots gets them when its task run is on record; one
//! that is killed before that has hung up, and holds nothing.
//!
//! A client whose events do not come (its WebSockets are cut off by a proxy) is waited for in
//! vain once, and then, like all others from its address, no longer until a task run is told of
//! from there.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use leasehold_engine::Span;
use leasehold_records::RunKind;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::agent::PrefectClient;
use crate::app::App;
use crate::places::Peer;

/// Clients that tell of their task runs at all do so at once. The first event of a process needs
/// a connection before, and some requests over another one.
const PATIENCE: Span = Span::from_seconds(3);
/// The clients that do.
const MAJOR: u64 = 3;
/// How many addresses are known to be silent at the most; then all are listened to again.
const SILENT_MAX: usize = 10_000;

/// Who is to be introduced.
#[derive(Debug, Default)]
pub(crate) struct Introductions(Mutex<Awaited>);

#[derive(Debug, Default)]
struct Awaited {
    by_run: HashMap<Uuid, Vec<oneshot::Sender<()>>>,
    /// From where nobody was introduced who should have been.
    silent: HashSet<Option<Peer>>,
}

/// Waits for one task run, until it is dropped.
struct Waiting<'all> {
    introductions: &'all Introductions,
    run: Uuid,
    introduced: oneshot::Receiver<()>,
}

impl Introductions {
    /// A task run was told of, from there.
    pub(crate) fn told(&self, peer: Option<Peer>) {
        self.awaited().silent.remove(&peer);
    }

    /// A task run is on record.
    pub(crate) fn made(&self, run: Uuid) {
        for waiting in self.awaited().by_run.remove(&run).into_iter().flatten() {
            // Who waits no longer needs no word.
            let _ = waiting.send(());
        }
    }

    fn is_silent(&self, peer: Option<Peer>) -> bool {
        self.awaited().silent.contains(&peer)
    }

    fn fell_silent(&self, peer: Option<Peer>) {
        let silent = &mut self.awaited().silent;
        if silent.len() >= SILENT_MAX {
            silent.clear();
        }
        silent.insert(peer);
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

/// Waits until a task run that was granted slots is on record, if its client is one that tells of
/// it.
pub(crate) async fn wait(app: &App, client: PrefectClient, peer: Option<Peer>, run: Uuid) {
    let introductions = app.introductions();
    let tells = client.0.is_some_and(|[major, ..]| major == MAJOR);
    let Some(recorder) = app.recorder().filter(|_| tells && !introductions.is_silent(peer)) else {
        return;
    };
    // Before it is looked for: it may be put on record meanwhile.
    let mut waiting = introductions.wait_for(run);
    let is_on_record = recorder.write(move |book| Ok(book.run(RunKind::TaskRun, run)?.is_some()));
    // Where nothing can be read, nothing is put on record either.
    if is_on_record.await.unwrap_or(true) {
        return;
    }
    let mut stopping = app.sockets().stopping();
    let clock = app.ledger().clock();
    let until = clock.now() + PATIENCE;
    tokio::select! {
        _ = &mut waiting.introduced => {}
        () = stopping.heard() => {}
        () = clock.sleep_until(Some(until)) => {
            introductions.fell_silent(peer);
            tracing::warn!(
                task_run = %run,
                "holds slots of a tag, and its client tells nothing of it: should it be killed, \
                 an operator has to take them. Do its WebSockets reach this server?"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_a_task_run_is_told_and_nothing_is_left_of_who_waits_no_longer() {
        let introductions = Introductions::default();
        let run = Uuid::from_u128(1);
        let gone = introductions.wait_for(run);
        let mut waiting = [introductions.wait_for(run), introductions.wait_for(run)];
        let mut other = introductions.wait_for(Uuid::from_u128(2));
        drop(gone);
        introductions.made(run);
        for waiting in &mut waiting {
            assert_eq!(waiting.introduced.try_recv(), Ok(()));
        }
        assert!(other.introduced.try_recv().is_err());
        drop((waiting, other));
        assert!(introductions.awaited().by_run.is_empty());
    }
}
