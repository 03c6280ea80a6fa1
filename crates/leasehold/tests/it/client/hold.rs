//! A lease that is held: renewed, released, kept, and shared with no one.

use std::time::{Duration, Instant};

use leasehold_client::api::leases::FindLeases;
use leasehold_client::{Client, Error, Lost, NewLimit, State, Wait, blocking};

use super::{TTL, World, taken, until_taken};

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_outlives_its_ttl_and_gives_the_slot_back() {
    let (_world, client) = World::with_limit(1).await;
    let guard = client.acquire("db").ttl(TTL).label("team", "data").await.unwrap();
    assert!(guard.fencing_token().is_some());
    let lost = tokio::time::timeout(TTL * 2, guard.lost()).await;
    assert!(lost.is_err(), "{lost:?}");
    assert!(guard.is_held() && matches!(guard.state(), State::Held));
    assert_eq!(taken(&client).await, 1);
    let everyone =
        FindLeases { limit_name: None, holder_kind: None, holder_id: None, offset: 0, limit: None };
    let leases = client.leases(&everyone).await.unwrap();
    let holder = leases[0].holder.clone().unwrap();
    assert_eq!((holder.kind.as_str(), holder.labels["team"].as_str()), ("process", "data"));
    guard.release().await.unwrap();
    assert_eq!(taken(&client).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_guard_gives_its_slots_back() {
    let (_world, client) = World::with_limit(2).await;
    drop(client.acquire("db").slots(2).await.unwrap());
    client.settle(Duration::from_secs(20)).await;
    assert_eq!(taken(&client).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_several_limits_are_taken_together_or_not_at_all() {
    let (_world, client) = World::with_limit(1).await;
    client.create_limit(&NewLimit::new("gpu 1", 4)).await.unwrap();
    let guard = client.acquire("db").and("gpu 1", 3).await.unwrap();
    assert_eq!(guard.limits().len(), 2);
    let full = client.acquire("gpu 1").slots(2).and("db", 1).await.unwrap_err();
    let Error::Full(no_room) = full else { panic!("{full:?}") };
    assert_eq!(no_room.waiting_for.len(), 2);
    assert_eq!(client.holders("gpu 1").await.unwrap()[0].slots, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_an_error_of_its_own() {
    let (_world, client) = World::with_limit(1).await;
    let missing = client.acquire("dbb").await.unwrap_err();
    assert!(matches!(&missing, Error::LimitsMissing(it) if it.missing == ["dbb"]), "{missing:?}");
    let never = client.acquire("db").slots(2).await.unwrap_err();
    assert!(matches!(never, Error::NeverPossible { .. }), "{never:?}");
    let rate = client.rate_limit("db").await.unwrap_err();
    assert!(matches!(rate, Error::NeverPossible { .. }), "{rate:?}");
    let invalid = client.acquire("db").ttl(Duration::ZERO).await.unwrap_err();
    assert!(matches!(invalid, Error::Invalid { status: 422, .. }), "{invalid:?}");
    let conflict = client.create_limit(&NewLimit::new("db", 1)).await.unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict:?}");
    let nothing = client.acquire("dbb").skip_missing().await.unwrap();
    assert!(nothing.limits().is_empty() && nothing.is_held());
    nothing.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_slot_is_free_after_its_time() {
    let (_world, client) = World::with_limit(1).await;
    let guard = client.acquire("db").ttl(TTL * 10).await.unwrap();
    let kept_at = Instant::now();
    guard.keep_for(Duration::from_secs(1)).await.unwrap();
    until_taken(&client, 0).await;
    assert!(kept_at.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_grants_its_rate() {
    let (world, client) = World::with_limit(1).await;
    let rate = NewLimit::new("api", 2).decay(4.0);
    client.create_limit(&rate).await.unwrap();
    let started = Instant::now();
    for _ in 0..6 {
        client.rate_limit("api").await.unwrap();
    }
    // Two at once, and four more at four a second.
    assert!(started.elapsed() >= Duration::from_millis(990), "{:?}", started.elapsed());
    let refused = client.rate_limit("api").slots(2).wait(Wait::No).await;
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    drop(world);
}

#[test]
fn a_program_without_a_runtime_holds_slots_too() {
    let world = World::new(&[]);
    let client = blocking::Client::new(world.client()).unwrap();
    client.run(client.client().create_limit(&NewLimit::new("db", 1))).unwrap();
    let guard = client.acquire(client.ask("db").ttl(TTL)).unwrap();
    assert!(guard.lost_within(TTL * 2).is_none());
    let id = guard.id();
    client.run(revoke(client.client(), id));
    let lost = guard.lost_within(TTL * 2);
    assert!(matches!(lost, Some(Lost::Ended(_))), "{lost:?}");
    drop(guard);
    drop(client.acquire(client.ask("db")).unwrap());
    let again = client.acquire(client.ask("db")).unwrap();
    again.release().unwrap();
}

async fn revoke(client: &Client, id: uuid::Uuid) {
    let why = leasehold_client::api::leases::RevokeLease {
        reason: Some("the database moves".to_owned()),
        by: Some("anna".to_owned()),
    };
    assert_eq!(client.revoke(id, &why).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_holder_learns_why_and_by_whom() {
    let (_world, client) = World::with_limit(1).await;
    let guard = client.acquire("db").ttl(TTL).await.unwrap();
    revoke(&client, guard.id()).await;
    let Lost::Ended(ended) = guard.lost().await else { panic!("{guard:?}") };
    let said = (ended.reason.as_deref(), ended.by.as_deref());
    assert_eq!(said, (Some("the database moves"), Some("anna")));
    let released = guard.release().await.unwrap_err();
    assert!(released.to_string().contains("revoked by anna"), "{released}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_csrf_tokens_are_sent() {
    let world = World::new(&["--auth-string", "admin:pw", "--csrf-protection", "true"]);
    let refused = world.client().limits().await.unwrap_err();
    assert!(matches!(refused, Error::Unauthorized { .. }), "{refused:?}");
    let client = Client::builder().url(world.url()).auth_string("admin:pw").build().unwrap();
    client.create_limit(&NewLimit::new("db", 1)).await.unwrap();
    client.acquire("db").await.unwrap().release().await.unwrap();
}
