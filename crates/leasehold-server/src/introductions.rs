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

use leasehold_engine::{Command, LimitRef, Outcome, Query, Scope, Span, Timestamp};
use leasehold_records::RunKind;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::agent::PrefectClient;
use crate::app::App;
use crate::convert;
use crate::coordinator::Unavailable;
use crate::places::Peer;

/// The clients that tell of their task runs in events, and hold tags without a deadline. Those
/// before have them recorded first, and those from there on renew their leases.
const TELLERS: Range<[u64; 3]> = [3, 0, 0]..[3, 4, 25];
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

/// Waits until a task run is on record that asks for tags, if its client is one that tells of it
/// and it may get anything.
///
/// # Errors
///
/// If the server stops meanwhile: whoever asks again is heard by the next one.
pub(crate) async fn wait(
    app: &App,
    client: PrefectClient,
    peer: Option<Peer>,
    run: Uuid,
    tags: &[String],
) -> Result<(), Unavailable> {
    let tells = client.0.is_some_and(|version| TELLERS.contains(&version));
    // Their events come without credentials, and are not taken then.
    if !tells || app.recorder().is_none() || app.gate().needs_authentication() {
        return Ok(());
    }
    let clock = app.ledger().clock();
    let asked = clock.now();
    let mut stopping = app.sockets().stopping();
    tokio::select! {
        // First, so that it says that its time is over.
        biased;
        waited = introduction(app, peer, run, tags, asked) => waited,
        () = stopping.heard() => Err(Unavailable::Stopping),
        () = clock.sleep_until(Some(asked + PATIENCE)) => Ok(()),
    }
}

async fn introduction(
    app: &App,
    peer: Option<Peer>,
    run: Uuid,
    tags: &[String],
    asked: Timestamp,
) -> Result<(), Unavailable> {
    let (introductions, clock) = (app.introductions(), app.ledger().clock());
    let Some(recorder) = app.recorder() else { return Ok(()) };
    // Before it is looked for: it may be put on record meanwhile.
    let mut waiting = introductions.wait_for(run);
    let is_on_record =
        recorder.write_in_turn(move |book| Ok(book.run(RunKind::TaskRun, run)?.is_some()));
    match is_on_record.await {
        Ok(false) => {}
        Ok(true) => {
            introductions.heard_from(peer);
            return Ok(());
        }
        // Where nothing can be read, nothing is put on record either.
        Err(_) => return Ok(()),
    }
    if !are_limited(app, tags).await? {
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
async fn are_limited(app: &App, tags: &[String]) -> Result<bool, Unavailable> {
    for tag in tags {
        let limit = LimitRef::Name(convert::tag_name(tag));
        let read = app.ledger().send(Command::Read(Query::Limit(limit, Scope::Tags))).await?;
        if let Outcome::Limit(Some(_)) = read.keep() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use leasehold_engine::LimitId;
    use leasehold_journal::MemoryJournal;
    use leasehold_records::{Bounds, Records};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::coordinator;
    use crate::event_log::EventLog;
    use crate::evidence::Witness;
    use crate::records::Recorder;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(0) + Span::from_seconds(seconds)
    }

    fn peer(number: u8) -> Option<Peer> {
        Some(Peer(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))))
    }

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

    #[test]
    fn patience_is_with_an_address_and_not_with_each_who_asks_from_there() {
        let introductions = Introductions::default();
        let until = |run, number, now| {
            introductions.patience_with(Uuid::from_u128(run), peer(number), at(now))
        };
        assert_eq!(until(1, 1, 0), at(5));
        assert_eq!(until(2, 1, 3), at(5));
        assert_eq!(until(3, 2, 4), at(9));
        assert_eq!(until(4, 1, 59), at(5));
        assert_eq!(until(5, 1, 60), at(65));
        introductions.heard_from(peer(1));
        assert_eq!(until(6, 1, 70), at(75));
        // One was killed while it waited; the next was not waited for, and told of itself.
        assert_eq!(until(7, 1, 76), at(75));
        introductions.made(Uuid::from_u128(7));
        assert_eq!(until(8, 1, 77), at(82));
        introductions.made(Uuid::from_u128(99));
        assert_eq!(until(9, 1, 78), at(82));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let introductions = Introductions::default();
        let run = |number: usize| Uuid::from_u128(number as u128);
        for number in 0..STRANGERS_MAX {
            introductions.patience_with(run(number), peer(1), at(0));
        }
        introductions.patience_with(run(STRANGERS_MAX), peer(2), at(1));
        assert_eq!(introductions.awaited().strangers.len(), 1);
        assert_eq!(introductions.patience_with(run(1), peer(1), at(20)), at(25));
    }

    /// A task run that asks for the tag `db`, and whose client tells.
    struct World {
        app: App,
        clock: Clock,
        _running: coordinator::Running,
    }

    impl World {
        async fn new() -> Self {
            let (ledger, running) =
                coordinator::start(MemoryJournal::default(), |_| Clock::manual(at(100))).unwrap();
            let clock = ledger.clock().clone();
            let records = Records::in_memory(Bounds::default()).unwrap();
            let (recorder, _) = Recorder::start(records, clock.clone());
            let (witness, _) = Witness::start(ledger.clone(), recorder.clone(), SILENCE);
            let (event_log, _) = EventLog::start(&ledger, recorder.clone(), 0);
            let id = LimitId(1);
            let tag = Command::PutTagLimit { id, name: "tag:db".into(), slots: 1 };
            ledger.send(tag).await.unwrap().keep();
            let config = Config::default();
            let app = App::with_records(ledger, recorder, witness, event_log, config);
            Self { app, clock, _running: running }
        }

        /// Asks, and answers once it is waited for.
        async fn ask(&self, run: u128) -> JoinHandle<Result<(), Unavailable>> {
            let (app, run) = (self.app.clone(), Uuid::from_u128(run));
            let client = PrefectClient(Some([3, 4, 10]));
            let asking =
                tokio::spawn(
                    async move { wait(&app, client, peer(1), run, &["db".to_owned()]).await },
                );
            while !self.app.introductions().awaited().strangers.contains_key(&run) {
                tokio::task::yield_now().await;
            }
            asking
        }

        async fn passes(&self, seconds: f64) {
            self.clock.advance(Span::from_seconds_f64(seconds));
            // Whoever is woken by that has had its turn.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn nobody_is_waited_for_for_longer_than_five_seconds() {
        let world = World::new().await;
        let asking = world.ask(1).await;
        world.passes(4.9).await;
        assert!(!asking.is_finished());
        world.passes(0.2).await;
        assert_eq!(asking.await.unwrap(), Ok(()));
        // From the same address, nobody is waited for at all.
        assert_eq!(world.ask(2).await.await.unwrap(), Ok(()));
        world.app.introductions().made(Uuid::from_u128(2));
        let asking = world.ask(3).await;
        world.passes(4.9).await;
        assert!(!asking.is_finished());
        world.app.introductions().made(Uuid::from_u128(3));
        assert_eq!(asking.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn those_who_give_up_are_not_waited_for_for_ever() {
        let world = World::new().await;
        for run in 1..=5 {
            let asking = world.ask(run).await;
            world.passes(0.9).await;
            assert!(!asking.is_finished());
            asking.abort();
        }
        let asking = world.ask(6).await;
        world.passes(0.6).await;
        assert_eq!(asking.await.unwrap(), Ok(()));
    }
}
