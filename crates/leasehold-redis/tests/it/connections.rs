//! The ways to Redis: ACL users, sentinels and a failover, a cluster.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use leasehold_redis::{
    Address, Census, Fault, Fleet, Follower, FollowerOptions, Keys, Lock, Mechanism, Pace, Redis,
    Wait,
};

use crate::support::{RedisServer, STEADY_TTL, free_port, wait_for, wait_for_renewal};

async fn connect(url: &str) -> Result<Redis, Fault> {
    Redis::connect(&url.parse::<Address>().unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_get_what_their_acl_permits() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let rules = [
        "ACL SETUSER locker on >pw ~t:* +@all -config -keys",
        "ACL SETUSER reader on >pw ~t:* +@read +@connection",
    ];
    for rule in rules {
        let mut words = rule.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        let _: () = command.query(&mut raw).unwrap();
    }
    let port = server.port;
    let locker = connect(&format!("redis://locker:pw@127.0.0.1:{port}")).await.unwrap();
    let lock = Lock::new(&locker, "a", Mechanism::Dual);
    let guard = lock.try_acquire().await.unwrap().unwrap();
    // CONFIG is not permitted, so whether notifications are on cannot be asked: polling does.
    let error = lock.acquire(Wait::AtMost(Duration::from_millis(100))).await.unwrap_err();
    assert!(error.to_string().contains("another holder has it"), "{error}");
    guard.release().await.unwrap();
    let elsewhere = Lock::new(&locker, "a", Mechanism::Token)
        .keys(Keys::new("u"))
        .try_acquire()
        .await
        .unwrap_err();
    assert!(elsewhere.to_string().contains("not permit"), "{elsewhere}");
    let reader = connect(&format!("redis://reader:pw@127.0.0.1:{port}")).await.unwrap();
    let error = Lock::new(&reader, "a", Mechanism::Token).try_acquire().await.unwrap_err();
    assert!(error.to_string().contains("not permit"), "{error}");
    let refused = connect(&format!("redis://locker:no@127.0.0.1:{port}")).await.unwrap_err();
    assert!(matches!(refused, Fault::LoginRefused { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_hold_locks_and_followers_need_a_hash_tag() {
    let server = RedisServer::with_options(&["--cluster-enabled", "yes"]);
    let mut raw = server.raw();
    let _: () =
        redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).query(&mut raw).unwrap();
    wait_for("the cluster", || {
        let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut raw).unwrap();
        info.contains("cluster_state:ok")
    });
    let redis = connect(&format!("redis+cluster://127.0.0.1:{}", server.port)).await.unwrap();
    for mechanism in Mechanism::ALL {
        let lock = Lock::new(&redis, "a", mechanism).ttl(STEADY_TTL);
        let guard = lock.try_acquire().await.unwrap().unwrap();
        assert!(lock.try_acquire().await.unwrap().is_none());
        wait_for_renewal(&mut raw, "a");
        assert!(guard.is_held());
        guard.release().await.unwrap();
    }
    let options = FollowerOptions::new("test", "here");
    let error = Follower::join(&redis, Keys::new("t"), options.clone()).await.unwrap_err();
    assert!(
        matches!(error, Fault::CrossSlot { .. }) && error.to_string().contains("{t}"),
        "{error}"
    );
    let keys = Keys::new("{t}");
    let follower = Follower::join(&redis, keys.clone(), options).await.unwrap();
    Lock::following(&follower, "a").try_acquire().await.unwrap().unwrap().release().await.unwrap();
    let fleet = Fleet::read(&redis, &keys).await.unwrap();
    assert_eq!(fleet.alive().count(), 1);
    let error = Census::take(&redis, &keys, &fleet, &Pace::default(), |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("each master"), "{error}");
}

struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_are_asked_again_after_a_failover() {
    let master = RedisServer::start();
    let replica =
        RedisServer::with_options(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("sentinel.conf");
    let port = free_port();
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds mymaster 60000\nsentinel failover-timeout mymaster 3000\n",
        master.port
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("redis-server");
    command.arg(&config).arg("--sentinel").stdout(Stdio::null());
    let _sentinel = Sentinel(command.spawn().unwrap());
    let mut sentinel = None;
    wait_for("the sentinel", || {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        sentinel = client.get_connection().ok();
        sentinel.is_some()
    });
    let mut sentinel = sentinel.unwrap();
    wait_for("the sentinel to know the replica", || {
        let replicas: Vec<redis::Value> =
            redis::cmd("SENTINEL").arg("REPLICAS").arg("mymaster").query(&mut sentinel).unwrap();
        let info = replica
            .try_raw()
            .and_then(|mut raw| redis::cmd("INFO").arg("replication").query::<String>(&mut raw));
        !replicas.is_empty() && info.is_ok_and(|info| info.contains("master_link_status:up"))
    });
    let redis = connect(&format!("redis+sentinel://127.0.0.1:{port}/mymaster")).await.unwrap();
    // Renewed for the first time when the failover is over: what the old master accepts meanwhile
    // is lost with it.
    let lock = Lock::new(&redis, "a", Mechanism::Dual).ttl(Duration::from_secs(45));
    let guard = lock.try_acquire().await.unwrap().unwrap();
    wait_for("the lock on the replica", || {
        let found = replica.try_raw().and_then(|mut raw| {
            redis::cmd("EXISTS").arg("t:lockv2:a").arg("t:lock:a").query::<u8>(&mut raw)
        });
        found.is_ok_and(|found| found == 2)
    });
    let failover = || -> redis::RedisResult<()> {
        redis::cmd("SENTINEL").arg("FAILOVER").arg("mymaster").query(&mut sentinel)
    };
    // The sentinel may need a moment before it thinks the replica good enough.
    let mut failover = failover;
    wait_for("a failover", || failover().is_ok());
    wait_for("the replica to be the master", || {
        let info = replica
            .try_raw()
            .and_then(|mut raw| redis::cmd("INFO").arg("replication").query::<String>(&mut raw));
        info.is_ok_and(|info| info.contains("role:master"))
    });
    // The lock was replicated. The old master goes on taking writes for a while; the guard
    // does not go on bringing them there.
    let mut before = i64::MAX;
    wait_for("a renewal on the new master", || {
        let left = replica
            .try_raw()
            .and_then(|mut raw| redis::cmd("PTTL").arg("t:lockv2:a").query::<i64>(&mut raw));
        let Ok(left) = left else { return false };
        let is_renewed = left > before;
        before = left;
        is_renewed
    });
    assert!(guard.is_held());
    guard.release().await.unwrap();
}
