//! Names of requests that survive their process.

use leasehold_client::{Client, Error};

use super::{TTL, World, taken};

#[tokio::test(flavor = "multi_thread")]
async fn another_process_with_the_same_key_goes_on_with_the_lease() {
    let (world, client) = World::with_limit(2).await;
    let ask = |client: &Client| {
        client.acquire("db").ttl(TTL).holder("job", "nightly").idempotency_key("nightly-7")
    };
    let lease = ask(&client).await.unwrap().leak();
    let other = world.client();
    let guard = ask(&other).await.unwrap();
    assert_eq!(guard.id(), lease.id);
    assert_eq!(taken(&client).await, 1);
    assert!(tokio::time::timeout(TTL * 2, guard.lost()).await.is_err());
    guard.release().await.unwrap();
    let ended = ask(&other).await.unwrap_err();
    assert!(matches!(ended, Error::Ended(_)), "{ended:?}");
    let another = client.acquire("db").slots(2).idempotency_key("nightly-7").await.unwrap_err();
    assert!(matches!(another, Error::Conflict { .. } | Error::Ended(_)), "{another:?}");
}
