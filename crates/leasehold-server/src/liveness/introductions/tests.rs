//! Which requests wait for the record of their task run, and how long, by a clock that the tests
//! move.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use leasehold_engine::LimitId;
use leasehold_journal::MemoryJournal;
use leasehold_node::Clock;
use leasehold_records::{Bounds, Records};
use tokio::task::JoinHandle;

use super::*;
use crate::access::peer::TrustedProxies;
use crate::http::sockets::Sockets;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(0) + Span::from_seconds(seconds)
}

fn peer(number: u8) -> Option<Peer> {
    Some(TrustedProxies::default().peer(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))))
}

#[test]
fn a_recorded_task_run_wakes_its_requests_and_no_ended_request_is_remembered() {
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
fn patience_is_counted_for_an_address_and_not_for_each_request() {
    let introductions = Introductions::default();
    let until =
        |run, number, now| introductions.patience_with(Uuid::from_u128(run), peer(number), at(now));
    assert_eq!(until(1, 1, 0), at(5));
    assert_eq!(until(2, 1, 3), at(5));
    assert_eq!(until(3, 2, 4), at(9));
    assert_eq!(until(4, 1, 59), at(5));
    assert_eq!(until(5, 1, 60), at(65));
    introductions.heard_from(peer(1));
    assert_eq!(until(6, 1, 70), at(75));
    // Run 6 was killed while it waited. Run 7 does not wait, and its client reports it.
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

/// A server with a limit on the tag `db`. Its clients report their task runs in events.
struct World {
    introductions: Arc<Introductions>,
    ledger: Handle,
    recorder: Recorder,
    sockets: Sockets,
    _running: leasehold_node::Running,
}

impl World {
    async fn new() -> Self {
        let (ledger, running) =
            leasehold_node::start(MemoryJournal::default(), Clock::manual(at(100))).unwrap();
        let records = Records::in_memory(Bounds::default()).unwrap();
        let (recorder, _) = Recorder::start(records, ledger.clock().clone());
        ledger.put_tag_limit(LimitId(1), "tag:db".into(), 1).await.unwrap();
        let (introductions, sockets) = (Arc::default(), Sockets::new(1));
        Self { introductions, ledger, recorder, sockets, _running: running }
    }

    /// Sends a request. Returns once its task run is noted as not on record.
    async fn ask(&self, run: u128) -> JoinHandle<Result<(), Unavailable>> {
        let run = Uuid::from_u128(run);
        let (introductions, ledger) = (self.introductions.clone(), self.ledger.clone());
        let (recorder, stopping) = (self.recorder.clone(), self.sockets.stopping());
        let client = PrefectClient { version: Some([3, 4, 10]), has_suffix: false };
        let asking = tokio::spawn(async move {
            let (introductions, ledger, recorder) = (&*introductions, &ledger, &recorder);
            let needs = Needs { introductions, ledger, recorder, stopping };
            wait(&needs, client, peer(1), run, &["db".to_owned()]).await
        });
        while !self.introductions.awaited().strangers.contains_key(&run) {
            tokio::task::yield_now().await;
        }
        asking
    }

    async fn passes(&self, seconds: f64) {
        self.ledger.clock().advance(Span::from_seconds_f64(seconds));
        // Gives each task that this wakes its turn.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_request_waits_for_its_record_for_at_most_five_seconds() {
    let world = World::new().await;
    let asking = world.ask(1).await;
    world.passes(4.9).await;
    assert!(!asking.is_finished());
    world.passes(0.2).await;
    assert_eq!(asking.await.unwrap(), Ok(()));
    // The next request from the same address does not wait.
    assert_eq!(world.ask(2).await.await.unwrap(), Ok(()));
    world.introductions.made(Uuid::from_u128(2));
    let asking = world.ask(3).await;
    world.passes(4.9).await;
    assert!(!asking.is_finished());
    world.introductions.made(Uuid::from_u128(3));
    assert_eq!(asking.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn requests_that_give_up_use_up_the_patience_with_their_address() {
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
