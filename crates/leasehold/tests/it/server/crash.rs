//! `kill -9` at any moment loses nothing that was acknowledged.
//!
//! Holders load the server over connections of their own. After a random number of answers it
//! is killed, in the middle of whatever it does, and started again on the same data. What is
//! there then is compared with what each holder knows: everything acknowledged has happened,
//! and the one request of each holder that was not answered has happened wholly or not at all.
//! And who holds what is what the log of events says.
//!
//! `LEASEHOLD_TEST_SEED` repeats a run as far as the requests go, and `LEASEHOLD_TEST_KILLS`
//! sets how often it is killed.

mod check;
mod holder;
mod log;
mod takeover;

use std::env;
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::json;

use crate::server::program::{Home, eventually};
use holder::Holder;
use log::Log;

const HOLDERS: usize = 6;
/// Limits that all holders share, with room for some of what they ask for.
const SHARED: [(&str, u64); 3] = [("db", 12), ("gpu", 7), ("api", 20)];
const TAGS: [(&str, u64); 2] = [("etl", 8), ("dbt", 5)];
/// The most answers that a server gives before it is killed.
const ANSWERS_MAX: usize = 120;

fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[test]
fn kill_9_at_any_moment_loses_nothing_that_was_acknowledged() {
    let seed = setting("LEASEHOLD_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = setting("LEASEHOLD_TEST_KILLS").unwrap_or(100);
    // Shown if the test fails.
    println!("repeat with LEASEHOLD_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let home = Home::new();
    let start = || home.start(&["--page-size", "1000", "--log-level", "error"]);

    let mut server = start();
    let mut client = server.client();
    for (name, slots) in SHARED {
        client.create_limit(name, slots);
    }
    for (tag, slots) in TAGS {
        client.create_limit(&format!("tag:{tag}"), slots);
    }
    let mut holders: Vec<_> =
        (0..HOLDERS).map(|number| Holder::new(number, rng.fork(), &mut client)).collect();
    let mut fence_max = 0;
    let mut log = Log::default();
    let mut answers = 0;

    for kill in 0..kills {
        let until = rng.usize(..ANSWERS_MAX);
        let (answered, answer_count) = mpsc::channel();
        thread::scope(|scope| {
            for holder in &mut holders {
                let client = server.client();
                let answered = answered.clone();
                scope.spawn(move || holder.work_until_killed(client, &answered));
            }
            drop(answered);
            answers += answer_count.iter().take(until).count();
            server.kill();
        });
        server = start();
        println!("after kill {kill}");
        let mut client = server.client();
        log.check(&mut client);
        fence_max = check::all(&mut client, &mut holders, fence_max);
    }
    let held: usize = holders.iter().map(Holder::lease_count).sum();
    println!("{kills} kills, {answers} answers, {held} leases held at the end");
    assert!(answers > kills, "the server had something to lose");
}

#[test]
fn no_lease_dies_while_the_server_is_dead() {
    let home = Home::new();
    let mut server = home.start(&["--lease-seconds-min", "1"]);
    let mut client = server.client();
    client.create_limit("db", 1);
    // Long enough to be alive still when the server is killed, and when it is there again.
    let body = json!({"names": ["db"], "slots": 1, "lease_duration": 5});
    let lease = client.post("/api/v2/concurrency_limits/increment-with-lease", &body).json();
    server.kill();
    let deadline: Timestamp = lease["deadline"].as_str().unwrap().parse().unwrap();
    eventually("its deadline passes", || (Timestamp::now() > deadline).then_some(()));

    let server = home.start(&[]);
    let mut client = server.client();
    assert_eq!(client.active_slots("db"), 1, "it has the time left that it had");
    let path = format!("/api/leases/{}", lease["lease_id"].as_str().unwrap());
    let extended = client.get(&path).json()["deadline"].as_str().unwrap().parse().unwrap();
    assert!(deadline < extended, "{deadline} {extended}");
    eventually("it expires", || (client.active_slots("db") == 0).then_some(()));
    assert!(Timestamp::now() >= extended, "it expired before its deadline");
}
