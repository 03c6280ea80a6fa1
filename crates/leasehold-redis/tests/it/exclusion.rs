//! The table of mechanisms that exclude each other, ours against the real peers in both directions.

use std::time::Duration;

use leasehold_redis::{Lock, Mechanism, ReleaseError};

use crate::support::{PATIENCE, Peer, RedisServer, STEADY_TTL, Venv};

const MECHANISMS: [Mechanism; 3] = [Mechanism::Old, Mechanism::Dual, Mechanism::Token];
const TTL: Duration = Duration::from_secs(30);

/// Peers of each mechanism that PyPI has; dual is made of the two, as in the recipe.
fn peers_of(mechanism: Mechanism) -> &'static [Venv] {
    match mechanism {
        Mechanism::Old | Mechanism::Dual => &[Venv::TaskTiger012],
        Mechanism::Token => &[Venv::TaskTiger012, Venv::TaskTiger026, Venv::RedisPy],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_holds_against_real_peers_and_among_ours() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut peers = [Venv::TaskTiger012, Venv::TaskTiger026, Venv::RedisPy]
        .map(|venv| (venv, Peer::start(&server, venv)));
    for ours in MECHANISMS {
        for theirs in MECHANISMS {
            let excludes = ours.excludes(theirs);
            for (venv, peer) in &mut peers {
                if !peers_of(theirs).contains(venv) {
                    continue;
                }
                let id = format!("{ours}-{theirs}-{venv:?}");
                let lock = Lock::new(&redis, &id, ours).ttl(TTL);
                let cell = format!("ours {ours}, theirs {theirs} of {venv:?}");

                let guard = lock.try_acquire().await.unwrap().expect("free");
                assert_eq!(
                    peer.acquire(theirs.as_str(), &id, 30.0),
                    !excludes,
                    "{cell}, ours first"
                );
                if !excludes {
                    peer.release(&id);
                }
                guard.release().await.unwrap();

                assert!(peer.acquire(theirs.as_str(), &id, 30.0), "{cell}: left behind by ours");
                let second = lock.try_acquire().await.unwrap();
                assert_eq!(second.is_none(), excludes, "{cell}, theirs first");
                drop(second);
                assert_eq!(peer.renew(&id)["ok"], true, "{cell}: renewal");
                assert_eq!(peer.release(&id)["ok"], true, "{cell}: release");
            }
            let id = format!("{ours}-{theirs}-ours");
            let guard = Lock::new(&redis, &id, ours).ttl(TTL).try_acquire().await.unwrap().unwrap();
            let second = Lock::new(&redis, &id, theirs).ttl(TTL).try_acquire().await.unwrap();
            assert_eq!(second.is_none(), excludes, "ours {ours}, ours {theirs}");
            drop(second);
            guard.release().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dual_gives_the_token_lock_back_when_the_old_one_is_taken() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut old = Peer::start(&server, Venv::TaskTiger012);
    let mut token = Peer::start(&server, Venv::TaskTiger026);
    assert!(old.acquire("old", "a", 30.0));
    assert!(Lock::new(&redis, "a", Mechanism::Dual).try_acquire().await.unwrap().is_none());
    assert!(token.acquire("token", "a", 30.0), "the token lock was left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_locks_and_those_of_peers_follow_each_other_after_they_expire() {
    let server = RedisServer::start();
    let redis = server.connect().await;
    let mut peer = Peer::start(&server, Venv::TaskTiger012);
    let locks = MECHANISMS.map(|mechanism| {
        let id = format!("expiring-{mechanism}");
        let lock = Lock::new(&redis, &id, mechanism).ttl(STEADY_TTL);
        (mechanism, id, lock)
    });
    for (mechanism, id, lock) in &locks {
        assert!(peer.acquire(mechanism.as_str(), id, 4.0));
        assert!(lock.try_acquire().await.unwrap().is_none(), "{mechanism}");
    }
    for (_, id, lock) in &locks {
        let guard = lock.acquire(leasehold_redis::Wait::AtMost(PATIENCE)).await.unwrap();
        // The peer's lock has expired; its renewal must not take ours away unnoticed.
        peer.renew(id);
        match guard.release().await {
            Ok(()) | Err(ReleaseError::Lost(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}
