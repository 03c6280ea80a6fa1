//! Peers as they are: TaskTiger's old lock, step by step and by its own skewed clock, and
//! redis-py's token lock.

use std::sync::Arc;
use std::time::Duration;

use leasehold_python_json::repr;
use redis::Value;
use tokio::time::sleep;

use super::referee::Claim;
use super::{IDS, World};
use crate::expiry::OldExpiry;
use crate::phase::Mechanism;

pub(super) struct Peer {
    world: Arc<World>,
    mechanism: Mechanism,
    /// Seconds by which its clock is ahead. Within half of the notice that our holders get: a loser
    /// whose clock is behind pushes a winner's expiry back by that, and a peer whose clock is ahead
    /// sees it early by the other half.
    skew: f64,
}

impl Peer {
    pub(super) fn new(world: &Arc<World>, mechanism: Mechanism) -> Self {
        let bound = world.ttl.as_secs_f64() / 20.0 - 0.003;
        Self { world: Arc::clone(world), mechanism, skew: (fastrand::f64() * 2.0 - 1.0) * bound }
    }

    fn clock(&self) -> f64 {
        self.world.server.store.now_seconds() + self.skew
    }

    async fn call(&self, args: &[&str]) -> Value {
        sleep(Duration::from_micros(fastrand::u64(..900))).await;
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        self.world.server.store.call(&args)
    }

    pub(super) async fn live(self) {
        while !self.world.is_over() {
            let id = IDS[fastrand::usize(..IDS.len())];
            match self.mechanism {
                Mechanism::Old => self.hold_old(id).await,
                _ => self.hold_token(id).await,
            }
            sleep(self.world.ttl.mul_f64(fastrand::f64())).await;
        }
    }

    async fn hold_old(&self, id: &str) {
        let key = format!("t:lock:{id}");
        let now = self.clock();
        let until = now + self.world.ttl.as_secs_f64();
        let value = repr(until);
        let mut acquired = self.call(&["SETNX", &key, &value]).await == Value::Int(1);
        if !acquired && is_past(&self.call(&["GET", &key]).await, now) {
            acquired = is_past(&self.call(&["GETSET", &key, &value]).await, now);
        }
        if !acquired {
            return;
        }
        // A peer has no notice: what others do to its expiry in the last tenth is its own fault.
        let world = Arc::clone(&self.world);
        let believed_until = until - world.ttl.as_secs_f64() / 10.0;
        let believes = Arc::new(move || world.server.store.now_seconds() < believed_until);
        let number = self.world.referee.claim(id, "old peer", Claim::Peer(believes));
        sleep(self.world.ttl.mul_f64(fastrand::f64() * 1.2)).await;
        self.world.referee.withdraw(id, number);
        // It deletes any value later than its own, which after its time may be another holder's:
        // its fault D30, kept out.
        let has_time = self.clock().max(self.world.server.store.now_seconds()) + 0.005 < until;
        if has_time && fastrand::bool() {
            self.call(&["DEL", &key]).await;
        }
    }

    async fn hold_token(&self, id: &str) {
        let key = format!("t:lockv2:{id}");
        let ttl_ms = u64::try_from(self.world.ttl.as_millis()).unwrap();
        let token = fastrand::u128(..).to_string();
        sleep(Duration::from_micros(fastrand::u64(..900))).await;
        let store = &self.world.server.store;
        if store.call(&[b"GET".to_vec(), key.clone().into_bytes()]) != Value::Nil {
            return;
        }
        let set =
            ["SET", &key, &token, "PX", &ttl_ms.to_string()].map(|arg| arg.as_bytes().to_vec());
        let until = store.now_seconds() + self.world.ttl.as_secs_f64() - 0.001;
        store.call(&set);
        let world = Arc::clone(&self.world);
        let believes = Arc::new(move || world.server.store.now_seconds() < until);
        let number = self.world.referee.claim(id, "token peer", Claim::Peer(believes));
        sleep(self.world.ttl.mul_f64(fastrand::f64() * 1.2)).await;
        self.world.referee.withdraw(id, number);
        if store.call(&[b"GET".to_vec(), key.clone().into_bytes()])
            == Value::BulkString(token.into_bytes())
        {
            store.call(&[b"DEL".to_vec(), key.into_bytes()]);
        }
    }
}

fn is_past(value: &Value, now: f64) -> bool {
    match value {
        Value::BulkString(text) => !OldExpiry::read(text).is_live_at(now),
        _ => true,
    }
}
