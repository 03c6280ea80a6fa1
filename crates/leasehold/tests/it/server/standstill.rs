//! A server that is stopped and goes on, as in a frozen container: nobody loses a lease.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::server::program::Home;

const LEASE: Duration = Duration::from_secs(1);

#[test]
fn every_holder_finds_its_lease_when_a_stopped_server_goes_on() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
    clients[0].create_limit("db", 20);
    let leases: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let body = json!({"limits": [{"name": "db"}], "ttl_seconds": LEASE.as_secs()});
            let answer = client.post("/api/leases", &body);
            assert_eq!(answer.status, 201, "{answer:?}");
            answer.json()["id"].as_str().unwrap().to_owned()
        })
        .collect();

    let stopped = Instant::now();
    server.signal(Signal::STOP);
    // Half of them ask while it stands still; their requests lie in the sockets.
    let renewal = |client: &mut crate::server::http::Client, lease: &str| {
        client.post(&format!("/api/leases/{lease}/renew"), &json!({"ttl_seconds": 60}))
    };
    let (early, late) = clients.split_at_mut(10);
    let (asked, to_ask) = leases.split_at(10);
    thread::scope(|scope| {
        let asking: Vec<_> = early
            .iter_mut()
            .zip(asked)
            .map(|(client, lease)| scope.spawn(|| renewal(client, lease)))
            .collect();
        // What is waited for is the time itself: every lease would have ended by now.
        thread::sleep((LEASE * 3).saturating_sub(stopped.elapsed()));
        server.signal(Signal::CONT);
        for answer in asking {
            let answer = answer.join().unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    for (client, lease) in late.iter_mut().zip(to_ask) {
        let answer = renewal(client, lease);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(server.client().active_slots("db"), 20);
    let log = server.stop();
    assert!(log.contains("the server stood still"), "{log}");
}
