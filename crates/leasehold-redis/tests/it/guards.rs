//! Renewal, loss, release: what a holder may rely on.

use std::time::{Duration, Instant};

use leasehold_redis::{AcquireError, Lock, Lost, Mechanism, ReleaseError, Wait};
use redis::Commands;

use crate::support::{PATIENCE, Peer, RedisServer, STEADY_TTL, Venv, wait_for_renewal};

const MECHANISMS: [Mechanism; 3] = [Mechanism::Old, Mechanism::Dual, Mechanism::Token];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guards_renew_themselves_for_as_long_as_they_live() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut peer = Peer::start(&server, Venv::TaskTiger012);
    let mut guards = Vec::new();
    for mechanism in MECHANISMS {
        let lock = Lock::new(&redis, mechanism.as_str(), mechanism).ttl(STEADY_TTL);
        guards.push(lock.try_acquire().await.unwrap().unwrap());
    }
    let started = Instant::now();
    while started.elapsed() < STEADY_TTL * 3 / 2 {
        for mechanism in MECHANISMS {
            assert!(!peer.acquire(mechanism.as_str(), mechanism.as_str(), 1.0), "{mechanism}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for guard in guards {
        assert!(guard.is_held());
        guard.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d30_renewal_and_release_leave_a_foreign_lock_alone() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    for mechanism in MECHANISMS {
        let id = mechanism.as_str();
        let guard =
            Lock::new(&redis, id, mechanism).ttl(STEADY_TTL).try_acquire().await.unwrap().unwrap();
        let foreign = "2000000000.5";
        for key in [format!("t:lock:{id}"), format!("t:lockv2:{id}")] {
            let _: () = raw.set(key, foreign).unwrap();
        }
        let loss = tokio::time::timeout(PATIENCE, guard.lost()).await.unwrap();
        // At the end of its ttl the guard would report a loss too, for another reason.
        assert!(matches!(loss, Lost::TakenAway), "{mechanism}: {loss}");
        assert!(!guard.is_held());
        assert!(matches!(guard.release().await, Err(ReleaseError::Lost(Lost::TakenAway))));
        for key in [format!("t:lock:{id}"), format!("t:lockv2:{id}")] {
            assert_eq!(raw.get::<_, String>(key).unwrap(), foreign, "{mechanism}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d28_an_unreachable_redis_is_reported_as_such_before_another_holder_can_take_the_lock() {
    for mechanism in MECHANISMS {
        let server = RedisServer::start();
        let redis = server.connect().await;
        // Half of the ttl: a machine that stands still meanwhile does not make the report late.
        let notice = STEADY_TTL / 2;
        let lock = Lock::new(&redis, "a", mechanism).ttl(STEADY_TTL).notice(notice);
        let guard = lock.try_acquire().await.unwrap().unwrap();
        server.signal("STOP");
        // A renewal may have been answered just before the stop: it counts from then.
        let free_at = Instant::now() + guard.time_left().unwrap() + notice;
        let loss = tokio::time::timeout(PATIENCE, guard.lost()).await.unwrap();
        let reported_at = Instant::now();
        server.signal("CONT");
        assert!(matches!(loss, Lost::Unreachable(_)), "{mechanism}: {loss}");
        assert!(
            reported_at < free_at,
            "{mechanism}: reported {:?} too late",
            reported_at - free_at
        );
        assert!(!guard.is_held());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d08_dropped_guards_release_and_cancelled_acquires_leave_nothing() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    for mechanism in MECHANISMS {
        // Each its own: a cancelled attempt may still be under way when no key is there.
        let lock = Lock::new(&redis, mechanism.as_str(), mechanism);
        drop(lock.try_acquire().await.unwrap().unwrap());
        // Shorter than its ttl, so that no lock is free because it expired.
        let deadline = Duration::from_secs(40);
        let guard = lock.acquire(Wait::AtMost(deadline)).await.unwrap();
        guard.release().await.unwrap();
        for _ in 0..50 {
            // D08: given up at any point, also between the grant and its answer.
            let patience = Duration::from_micros(fastrand::u64(..2_000));
            let _ = tokio::time::timeout(patience, lock.acquire(Wait::Forever)).await;
        }
        let started = Instant::now();
        while !raw.keys::<_, Vec<String>>("*").unwrap().is_empty() {
            assert!(
                started.elapsed() < deadline,
                "{mechanism}: {:?}",
                raw.keys::<_, Vec<String>>("*")
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_ends_in_time_with_an_error_that_says_so() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let lock = Lock::new(&redis, "a", Mechanism::Dual);
    let _guard = lock.try_acquire().await.unwrap().unwrap();
    let started = Instant::now();
    let error = lock.acquire(Wait::AtMost(Duration::from_millis(300))).await.unwrap_err();
    assert!(matches!(error, AcquireError::NotInTime { .. }), "{error}");
    assert!((Duration::from_millis(300)..Duration::from_secs(20)).contains(&started.elapsed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_released_lock_is_taken_at_once_if_redis_notifies() {
    let server = RedisServer::with_options(&["--notify-keyspace-events", "KA"]);
    let redis = server.connect().await;
    for mechanism in MECHANISMS {
        let lock = Lock::new(&redis, "a", mechanism);
        let guard = lock.try_acquire().await.unwrap().unwrap();
        let waits_since = Instant::now();
        let waiter = tokio::spawn({
            let lock = lock.clone();
            async move {
                let guard = lock.acquire(Wait::Forever).await.unwrap();
                (Instant::now(), guard)
            }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        guard.release().await.unwrap();
        let (taken, guard) = waiter.await.unwrap();
        // With notifications, a waiter polls only every 5 s.
        let waited = taken - waits_since;
        assert!(waited < Duration::from_millis(4_900), "{mechanism}: {waited:?}");
        guard.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guards_survive_a_restart_of_their_connection() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut raw = server.raw();
    let lock = Lock::new(&redis, "a", Mechanism::Token).ttl(STEADY_TTL);
    let guard = lock.try_acquire().await.unwrap().unwrap();
    for _ in 0..4 {
        let _: i64 = redis::cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg("normal")
            .arg("SKIPME")
            .arg("yes")
            .query(&mut raw)
            .unwrap();
        let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut raw).unwrap();
        wait_for_renewal(&mut raw, "a");
        assert!(guard.is_held());
    }
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_dual_locks_do_not_keep_each_other_awake() {
    let server = RedisServer::with_options(&["--notify-keyspace-events", "KA"]);
    let redis = server.connect().await;
    let mut raw = server.raw();
    let _guard = Lock::new(&redis, "a", Mechanism::Old).try_acquire().await.unwrap().unwrap();
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let lock = Lock::new(&redis, "a", Mechanism::Dual);
        waiters.spawn(async move { drop(lock.acquire(Wait::Forever).await) });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut executed = || -> u64 {
        let info: String = redis::cmd("INFO").arg("stats").query(&mut raw).unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap().parse().unwrap()
    };
    let before = executed();
    // Each of them looks once in five seconds, with two commands.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let commands = executed() - before;
    assert!(commands < 30, "{commands} commands by five waiters");
    waiters.shutdown().await;
}
