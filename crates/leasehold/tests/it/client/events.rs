//! Events as a stream, across a restart.

use std::time::Duration;

use leasehold_client::{EventFilter, State};

use super::{TTL, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_after_a_restart() {
    let (mut world, client) = World::with_limit(1).await;
    let mut filter = EventFilter::default();
    filter.0.limit = Some("db".to_owned());
    filter.0.after = Some(0);
    let mut events = client.follow_events(filter);
    let mut kinds = Vec::new();
    let guard = client.acquire("db").ttl(TTL * 20).await.unwrap();
    while kinds.last().is_none_or(|kind| kind != "lease.granted") {
        kinds.push(events.next().await.unwrap().unwrap().kind);
    }
    // The log is written a moment after the grant; what it lacks is added at the start.
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.kill();
    world.start(&[]);
    assert!(matches!(guard.state(), State::Held | State::OutOfReach(_)));
    guard.release().await.unwrap();
    let next = events.next().await.unwrap().unwrap();
    assert_eq!(next.kind, "lease.released");
    assert_eq!(kinds, ["limit.created", "lease.granted"]);
}
