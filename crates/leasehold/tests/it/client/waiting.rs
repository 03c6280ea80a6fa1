//! Requests that wait: in order, with their position, and without traces when they give up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_client::{Error, Wait, Waiting};

use super::{World, taken, until_taken};

#[tokio::test(flavor = "multi_thread")]
async fn waiters_learn_their_position_and_the_higher_priority_goes_first() {
    let (_world, client) = World::with_limit(1).await;
    let holder = client.acquire("db").await.unwrap();
    let seen: Arc<Mutex<Vec<Waiting>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let waits = client
        .acquire("db")
        .wait(Wait::Forever)
        .on_waiting(move |waiting| noted.lock().unwrap().push(waiting.clone()));
    let first = tokio::spawn(waits.into_future());
    until_waiting(&client, 1).await;
    let urgent = client.acquire("db").priority(5).wait(Duration::from_secs(60));
    let urgent = tokio::spawn(urgent.into_future());
    until_seen(&seen, Some(2)).await;
    holder.release().await.unwrap();
    let urgent = urgent.await.unwrap().unwrap();
    assert!(!first.is_finished());
    until_seen(&seen, Some(1)).await;
    urgent.release().await.unwrap();
    let first = first.await.unwrap().unwrap();
    assert_eq!(seen.lock().unwrap()[0].blocked_by, ["db"]);
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn patience_ends_with_what_is_in_the_way() {
    let (_world, client) = World::with_limit(1).await;
    let _holder = client.acquire("db").holder("process", "a:1").await.unwrap();
    let waited = client.acquire("db").wait(Duration::from_millis(300)).await;
    let Err(Error::Full(no_room)) = waited else { panic!("{waited:?}") };
    assert_eq!(no_room.waiting_for[0].name, "db");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_wait_leaves_nothing_behind() {
    let (_world, client) = World::with_limit(1).await;
    let holder = client.acquire("db").await.unwrap();
    for _ in 0..5 {
        let waits = tokio::spawn(client.acquire("db").wait(Wait::Forever).into_future());
        until_waiting(&client, 1).await;
        waits.abort();
        until_waiting(&client, 0).await;
    }
    holder.release().await.unwrap();
    client.settle(Duration::from_secs(20)).await;
    assert_eq!(taken(&client).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_crosses_its_abandonment_is_given_back() {
    let (_world, client) = World::with_limit(1).await;
    for delay_ms in 0..10 {
        let holder = client.acquire("db").await.unwrap();
        let waits = tokio::spawn(client.acquire("db").wait(Wait::Forever).into_future());
        until_waiting(&client, 1).await;
        let released = tokio::spawn(holder.release());
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        waits.abort();
        released.await.unwrap().unwrap();
        drop(waits.await);
        client.settle(Duration::from_secs(20)).await;
        until_taken(&client, 0).await;
    }
}

async fn until_waiting(client: &leasehold_client::Client, count: usize) {
    for _ in 0..2_000 {
        if client.waiters("db").await.unwrap().len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", client.waiters("db").await);
}

async fn until_seen(seen: &Mutex<Vec<Waiting>>, position: Option<u64>) {
    for _ in 0..2_000 {
        if seen.lock().unwrap().last().is_some_and(|last| last.position == position) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", seen.lock().unwrap());
}
