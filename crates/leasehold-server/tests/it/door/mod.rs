//! The native door for leases, `/api/leases`.

mod acquire;
mod errors;
mod keep;
mod keys;
mod list;
mod standstill;
mod waiting;

use serde_json::{Value, json};

use crate::fixture::{Answer, Pending, TestApp, until};

const DOOR: &str = "/api/leases";

impl TestApp {
    /// Asks for a slot of each limit, with the fields of `more`.
    async fn ask(&self, names: &[&str], more: Value) -> Answer {
        self.post(DOOR, &asking(names, &more)).await
    }

    /// Acquires a slot of each limit, and returns the lease.
    async fn hold(&self, names: &[&str], more: Value) -> Value {
        self.ask(names, more).await.expect(201).json()
    }

    /// Asks, and waits until the request is in line for the first limit.
    async fn queue<'app>(&'app self, names: &[&str], more: Value) -> Pending<'app> {
        let body = asking(names, &more);
        self.held_open(names[0], async move { self.post(DOOR, &body).await }).await
    }

    async fn nobody_waits(&self, name: &str) {
        self.nobody_waits_behind(name, 0).await;
    }

    /// Waits until so many requests are in line.
    async fn nobody_waits_behind(&self, name: &str, count: usize) {
        until(async || self.waiters(name).await.len() == count).await;
    }

    async fn renew_at_door(&self, lease: &str, ttl_seconds: f64) -> Answer {
        let path = format!("{DOOR}/{lease}/renew");
        self.post(&path, &json!({"ttl_seconds": ttl_seconds})).await
    }

    /// Gives a lease back.
    async fn give_back(&self, lease: &str) -> Answer {
        self.delete(&format!("{DOOR}/{lease}")).await
    }
}

fn asking(names: &[&str], more: &Value) -> Value {
    let limits: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
    let mut body = json!({"limits": limits});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The field for a request that waits for so long.
fn waiting(seconds: f64) -> Value {
    json!({"wait_seconds": seconds})
}

fn id(lease: &Value) -> &str {
    lease["id"].as_str().unwrap()
}
