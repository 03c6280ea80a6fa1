//! Semaphores, ours and TaskTiger's on the same key.

use std::time::Duration;

use leasehold_redis::{Keys, Lost, Refusal, Semaphore, Wait};
use redis::Commands;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Peer, RedisServer, STEADY_TTL, Venv, now_ms};

fn theirs(peer: &mut Peer, holder: &str, size: u64) -> Value {
    let command =
        json!({"op": "semaphore", "name": "q", "holder": holder, "timeout": 30, "size": size});
    peer.ask(&command)["ok"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_shared_with_the_real_one() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    let keys = Keys::default();
    for venv in [Venv::TaskTiger012, Venv::TaskTiger026] {
        let mut peer = Peer::start(&server, venv);
        let ours = Semaphore::new(&redis, &keys, "q", "ours", 2).ttl(Duration::from_secs(30));
        let other = Semaphore::new(&redis, &keys, "q", "other", 2).ttl(Duration::from_secs(30));
        let (before, before_ms) = (redis.time().await.unwrap(), now_ms(&mut raw));
        let (guard, count) = ours.try_acquire().await.unwrap().unwrap();
        assert_eq!(count, 1);
        assert_eq!(theirs(&mut peer, "w1", 2), json!([true, 2]));
        assert_eq!(theirs(&mut peer, "w1", 2), json!([true, 2]));
        assert_eq!(theirs(&mut peer, "w2", 2), json!([false, 2]));
        assert_eq!(other.try_acquire().await.unwrap().unwrap_err(), Refusal::Full { count: 2 });
        let deadline: i64 = raw.pexpire_time("t:qslock:q").unwrap();
        let possible = before_ms + 60_000..=now_ms(&mut raw) + 60_000;
        assert!(possible.contains(&deadline), "{deadline}, not {possible:?}");
        let score: f64 = raw.zscore("t:qslock:q", "ours").unwrap();
        let possible = before + 30.0..=redis.time().await.unwrap() + 30.0;
        assert!(possible.contains(&score), "{score}, not {possible:?}");
        guard.release().await.unwrap();
        assert_eq!(theirs(&mut peer, "w2", 2), json!([true, 2]));
        for holder in ["w1", "w2"] {
            peer.ask(&json!({"op": "semaphore-release", "name": "q", "holder": holder}));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_lock_keeps_both_out() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    let keys = Keys::default();
    let mut peer = Peer::start(&server, Venv::TaskTiger026);
    let ours = Semaphore::new(&redis, &keys, "q", "ours", 5).ttl(STEADY_TTL);
    let (guard, _) = ours.try_acquire().await.unwrap().unwrap();
    Semaphore::set_system_lock(&redis, &keys, "q", Duration::from_secs(60)).await.unwrap();
    assert_eq!(theirs(&mut peer, "w", 5), json!([false, -1]));
    assert_eq!(ours.try_acquire().await.unwrap().unwrap_err(), Refusal::SystemLock);
    assert!(matches!(guard.lost().await, Lost::SystemLock));
    assert!(Semaphore::system_lock(&redis, &keys, "q").await.unwrap().is_some());
    let ttl: i64 = raw.ttl("t:qslock:q").unwrap();
    assert!((40..=70).contains(&ttl), "{ttl}");
    let _: () = raw.del("t:qslock:q").unwrap();
    peer.ask(&json!({"op": "system-lock", "name": "q", "timeout": 5}));
    assert_eq!(ours.try_acquire().await.unwrap().unwrap_err(), Refusal::SystemLock);
    ours.acquire(Wait::AtMost(PATIENCE)).await.unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d30_a_place_that_ran_out_is_lost_and_not_taken_again() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    let ours = Semaphore::new(&redis, &Keys::default(), "q", "ours", 1).ttl(STEADY_TTL);
    let (guard, _) = ours.try_acquire().await.unwrap().unwrap();
    let _: () = raw.zrem("t:qslock:q", "ours").unwrap();
    assert!(matches!(guard.lost().await, Lost::TakenAway));
    assert!(!raw.exists::<_, bool>("t:qslock:q").unwrap());
}
