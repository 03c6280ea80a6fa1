//! The bytes in Redis, which are those that a peer writes.

use std::time::Duration;

use leasehold_python_json::repr;
use leasehold_redis::{Keys, Lock, Mechanism};
use redis::Commands;

use crate::support::{Peer, RedisServer, STEADY_TTL, Venv, now_ms, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_lock_is_a_float_then_an_integer_without_ttl() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    let before = redis.time().await.unwrap();
    let guard = Lock::new(&redis, "a", Mechanism::Old)
        .ttl(Duration::from_secs(60))
        .try_acquire()
        .await
        .unwrap();
    let after = redis.time().await.unwrap();
    let value: String = raw.get("t:lock:a").unwrap();
    let expiry: f64 = value.parse().unwrap();
    assert!(before + 60.0 <= expiry && expiry <= after + 60.0, "{value}");
    assert_eq!(value, repr(expiry));
    assert_eq!(raw.ttl::<_, i64>("t:lock:a").unwrap(), -1);
    let keys: Vec<String> = raw.keys("*").unwrap();
    assert_eq!(keys, ["t:lock:a"]);
    guard.unwrap().release().await.unwrap();
    assert!(!raw.exists::<_, bool>("t:lock:a").unwrap());

    let guard = Lock::new(&redis, "a", Mechanism::Old).ttl(STEADY_TTL).try_acquire().await.unwrap();
    let first: String = raw.get("t:lock:a").unwrap();
    let (mut before_ms, mut renewed) = (0, String::new());
    wait_for("a renewal", || {
        let asked_ms = now_ms(&mut raw);
        renewed = raw.get("t:lock:a").unwrap();
        let is_renewed = renewed != first;
        if !is_renewed {
            before_ms = asked_ms;
        }
        is_renewed
    });
    let whole: i64 = renewed.parse().unwrap_or_else(|_| panic!("{renewed} is no integer"));
    // Renewed at some moment between the last look that found it as it was and now.
    let ttl = i64::try_from(STEADY_TTL.as_secs()).unwrap();
    let possible = before_ms / 1_000 + ttl..=now_ms(&mut raw) / 1_000 + ttl;
    assert!(possible.contains(&whole), "{whole}, not {possible:?}");
    drop(guard);

    let guard = Lock::new(&redis, "b", Mechanism::Old).without_ttl().try_acquire().await.unwrap();
    assert_eq!(raw.get::<_, String>("t:lock:b").unwrap(), "2147483649.0");
    guard.unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_prints_our_old_values_the_same() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    let mut peer = Peer::start(&server, Venv::TaskTiger012);
    let mut values: Vec<f64> = Vec::new();
    for _ in 0..200 {
        let lock = Lock::new(&redis, "a", Mechanism::Old).ttl(Duration::from_micros(30_000_001));
        let guard = lock.try_acquire().await.unwrap().unwrap();
        let value: String = raw.get("t:lock:a").unwrap();
        let number: f64 = value.parse().unwrap();
        assert_eq!(value, repr(number));
        values.push(number);
        guard.release().await.unwrap();
    }
    let answer = peer.ask(&serde_json::json!({"op": "repr", "cases": values}));
    let expected: Vec<String> = values.iter().map(|value| repr(*value)).collect();
    assert_eq!(answer["ok"], serde_json::json!(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_lock_is_32_hex_digits_with_a_ttl() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    let lock = Lock::new(&redis, "a", Mechanism::Token)
        .keys(Keys::new("other"))
        .ttl(Duration::from_secs(60));
    let before_ms = now_ms(&mut raw);
    let guard = lock.try_acquire().await.unwrap().unwrap();
    let value: String = raw.get("other:lockv2:a").unwrap();
    assert!(
        value.len() == 32 && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        "{value}"
    );
    let deadline: i64 = raw.pexpire_time("other:lockv2:a").unwrap();
    let possible = before_ms + 60_000..=now_ms(&mut raw) + 60_000;
    assert!(possible.contains(&deadline), "{deadline}, not {possible:?}");
    guard.release().await.unwrap();
    let guard = lock.without_ttl().try_acquire().await.unwrap().unwrap();
    assert_eq!(raw.ttl::<_, i64>("other:lockv2:a").unwrap(), -1);
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_are_no_number_hold_an_old_lock_forever() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    let mut peer = Peer::start(&server, Venv::TaskTiger012);
    let cases = [
        "",
        "1",
        " 1795 ",
        "1_000",
        "1__0",
        "0x10",
        "nan",
        "inf",
        "-inf",
        "abc",
        "1e3",
        "1e",
        ".5",
        "5.",
        ".",
        "+3",
        "-3",
        "99999999999",
        "1e400",
        "infinity",
        "--1",
        "\u{e9}",
        "2147483649.0",
    ];
    for case in cases {
        let _: () = raw.set("t:lock:a", case).unwrap();
        let theirs = peer.acquire("old", "a", 30.0);
        let _: () = raw.set("t:lock:a", case).unwrap();
        let ours = Lock::new(&redis, "a", Mechanism::Old).try_acquire().await.unwrap();
        assert_eq!(ours.is_some(), theirs, "{case:?}");
        if let Some(guard) = ours {
            guard.release().await.unwrap();
        }
    }
}
