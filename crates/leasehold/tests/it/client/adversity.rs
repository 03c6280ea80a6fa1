//! Answers that are lost, refusals that pass, clocks that differ, and many leases at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use leasehold_client::{Client, Guard, State};

use super::proxy::{self, Faults};
use super::{TTL, World, client_at, taken};

async fn behind_a_proxy(slots: u64) -> (World, Client, Client, Arc<Faults>) {
    let (world, direct) = World::with_limit(slots).await;
    let faults: Arc<Faults> = Arc::default();
    let port = proxy::start(world.port, Arc::clone(&faults)).await;
    (world, direct, client_at(port), faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_costs_no_slot() {
    let (_world, direct, client, faults) = behind_a_proxy(5).await;
    for _ in 0..3 {
        faults.lost_answers.store(2, SeqCst);
        let guard = client.acquire("db").await.unwrap();
        assert_eq!(taken(&direct).await, 1);
        faults.lost_answers.store(2, SeqCst);
        guard.release().await.unwrap();
        assert_eq!(taken(&direct).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_server_is_asked_again() {
    let (_world, direct, client, faults) = behind_a_proxy(1).await;
    faults.refusals.store(3, SeqCst);
    let guard = client.acquire("db").ttl(TTL).await.unwrap();
    faults.refusals.store(2, SeqCst);
    assert!(tokio::time::timeout(TTL * 2, guard.lost()).await.is_err());
    assert_eq!(faults.refusals.load(SeqCst), 0);
    faults.refusals.store(2, SeqCst);
    guard.release().await.unwrap();
    assert_eq!(taken(&direct).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_whose_answers_are_lost_are_repeated() {
    let (_world, _direct, client, faults) = behind_a_proxy(1).await;
    let guard = client.acquire("db").ttl(TTL).await.unwrap();
    faults.lost_answers.store(3, SeqCst);
    assert!(tokio::time::timeout(TTL * 2, guard.lost()).await.is_err());
    assert_eq!(faults.lost_answers.load(SeqCst), 0);
    assert!(matches!(guard.state(), State::Held));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_the_server_does_not_matter() {
    let (_world, _direct, client, faults) = behind_a_proxy(1).await;
    faults.shifts.store(1, SeqCst);
    let guard = client.acquire("db").ttl(TTL).await.unwrap();
    assert!(guard.lease().created.to_string().starts_with("2025-"));
    assert!(guard.time_left().unwrap() > TTL / 2 && guard.time_left().unwrap() < TTL);
    assert!(tokio::time::timeout(TTL * 2, guard.lost()).await.is_err());
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leases_of_a_process_are_renewed_in_one_request() {
    let (_world, direct, client, faults) = behind_a_proxy(50).await;
    let mut guards = Vec::new();
    for _ in 0..50 {
        guards.push(client.acquire("db").ttl(TTL * 2).await.unwrap());
    }
    tokio::time::sleep(TTL * 4).await;
    assert!(guards.iter().all(Guard::is_held));
    let renewals = faults.renewals.load(SeqCst);
    // Six thirds of the ttl, and the first of them perhaps in parts.
    assert!((4..=14).contains(&renewals), "{renewals} renewals");
    drop(guards);
    client.settle(Duration::from_secs(30)).await;
    assert_eq!(taken(&direct).await, 0);
}
