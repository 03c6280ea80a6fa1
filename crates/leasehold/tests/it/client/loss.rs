//! A server that dies, hangs, and comes back with and without its data: a holder is never sure for
//! longer than the server is, and learns which of these it was.

use std::time::{Duration, Instant};

use leasehold_client::{Guard, Lost, ReleaseError, State};
use rustix::process::Signal;

use super::{TTL, World, taken};

/// What a loss by silence has to look like: not early, and before the server may give the slot on.
fn assert_in_time(renewed_after: Instant, silent_since: Instant) {
    let now = Instant::now();
    let notice = Duration::from_millis(300);
    // The last renewal was sent before the silence, and the lease lasts from then.
    assert!(now < silent_since + TTL, "lost after {:?}", now - silent_since);
    assert!(now + Duration::from_millis(50) >= renewed_after + TTL - notice, "lost too early");
}

async fn held(world: &World) -> Guard {
    let guard = world.client().acquire("db").ttl(TTL).await.unwrap();
    // Until its first renewal.
    let until = guard.held_until();
    while guard.held_until() == until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    guard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_out_of_reach_and_then_the_lease_is_lost() {
    let (mut world, _) = World::with_limit(1).await;
    let mut guard = held(&world).await;
    let renewed_after = guard.held_until().unwrap() - TTL;
    let killed = Instant::now();
    world.kill();
    let State::OutOfReach(trouble) = guard.changed().await else { panic!("{guard:?}") };
    assert!(trouble.error.is_outage() && guard.is_held());
    let lost = guard.lost().await;
    assert!(matches!(lost, Lost::Unreachable(_)), "{lost:?}");
    assert_in_time(renewed_after, killed);
    assert!(!guard.is_held());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_loses_the_lease_in_time_and_gives_it_back() {
    let (world, client) = World::with_limit(1).await;
    let mut guard = held(&world).await;
    let renewed_after = guard.held_until().unwrap() - TTL;
    let stopped = Instant::now();
    world.server().signal(Signal::STOP);
    let lost = guard.lost().await;
    assert!(matches!(lost, Lost::NoAnswer | Lost::Unreachable(_)), "{lost:?}");
    assert!(!lost.is_certain());
    assert_in_time(renewed_after, stopped);
    world.server().signal(Signal::CONT);
    // A standstill of the server ends no lease: the renewals go on, and say so.
    while !matches!(guard.state(), State::Held) {
        guard.changed().await;
    }
    assert_eq!(taken(&client).await, 1);
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_its_data_costs_no_lease() {
    let (mut world, client) = World::with_limit(1).await;
    let guard = held(&world).await;
    world.kill();
    world.start(&[]);
    assert!(tokio::time::timeout(TTL * 2, guard.lost()).await.is_err());
    assert_eq!(taken(&client).await, 1);
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_its_data_ends_the_lease() {
    let (mut world, _) = World::with_limit(1).await;
    let guard = held(&world).await;
    world.kill();
    std::fs::remove_dir_all(world.home.data_dir()).unwrap();
    world.start(&[]);
    let lost = guard.lost().await;
    assert!(lost.is_certain(), "{lost:?}");
    let released = guard.release().await;
    assert!(matches!(released, Err(ReleaseError::Lost(Lost::Ended(_)))), "{released:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_waits_for_a_restart() {
    let (mut world, client) = World::with_limit(1).await;
    let guard = held(&world).await;
    world.kill();
    let released = tokio::spawn(guard.release());
    world.start(&[]);
    released.await.unwrap().unwrap();
    assert_eq!(taken(&client).await, 0);
}
