//! From old to token with real programs and workers, and back.

use redis::Commands;
use serde_json::Value;

use crate::program::{ok, output, spawn, stderr};
use crate::support::{Peer, RedisServer, Venv, send_signal, wait_for};

fn status(server: &RedisServer) -> Value {
    serde_json::from_str(&ok(server, &["locks", "status", "--json"])).unwrap()
}

#[test]
fn a_fleet_moves_while_it_runs_and_keeps_its_locks() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    ok(&server, &["locks", "rollback", "--downtime"]);
    // With a short grace, the guard reports a loss late, and a pause of the machine is none.
    let args = ["run", "--lock", "a", "--ttl", "6s", "--grace", "500ms", "--", "sleep", "120"];
    let run = spawn(&server, &args);
    wait_for("the old lock", || raw.exists("t:lock:a").unwrap());
    assert!(!raw.exists::<_, bool>("t:lockv2:a").unwrap());
    let now = status(&server);
    assert_eq!(now["counts"]["old"], 1);
    assert_eq!(now["census"]["live"][0]["holder"]["pid"], run.id());
    assert_eq!(now["processes"][0]["holding"]["a"], "old");

    ok(&server, &["locks", "advance"]);
    wait_for("both locks", || raw.exists("t:lock:a").unwrap() && raw.exists("t:lockv2:a").unwrap());
    let again = |mechanism: &str| {
        let args = ["run", "--lock", "a", "--wait", "0", "--mechanism", mechanism, "--", "true"];
        output(&server, &args).status.code()
    };
    assert_eq!((again("old"), again("dual"), again("token")), (Some(75), Some(75), Some(75)));

    ok(&server, &["locks", "advance", "--longest-timeout", "1s", "--interval", "100ms"]);
    wait_for("the token lock alone", || !raw.exists::<_, bool>("t:lock:a").unwrap());
    assert_eq!((again("dual"), again("token")), (Some(75), Some(75)));
    assert_eq!(status(&server)["phase"]["phase"], "token");

    ok(
        &server,
        &["locks", "rollback", "--to", "old", "--longest-timeout", "1s", "--interval", "100ms"],
    );
    wait_for("the old lock alone", || {
        raw.exists("t:lock:a").unwrap() && !raw.exists::<_, bool>("t:lockv2:a").unwrap()
    });
    assert_eq!((again("old"), again("dual")), (Some(75), Some(75)));
    send_signal(run.id(), "TERM");
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(143));
}

#[test]
fn old_workers_stand_in_the_way_until_they_are_gone() {
    let server = RedisServer::start();
    ok(&server, &["locks", "rollback", "--downtime"]);
    let mut peer = Peer::start(&server, Venv::TaskTiger012);
    ok(&server, &["locks", "advance"]);
    assert!(peer.acquire("old", "queue_expired_tasks", 60.0));
    let args = ["locks", "advance", "--wait", "0", "--longest-timeout", "200ms"];
    let refused = output(&server, &args);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("queue_expired_tasks"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("a worker requeueing expired tasks"), "{}", stderr(&refused));
    let now = status(&server);
    assert_eq!(now["verdict"]["verdict"], "blocked");
    let moment =
        |value: &serde_json::Value| -> jiff::Timestamp { value.as_str().unwrap().parse().unwrap() };
    let left = moment(&now["verdict"]["until"]) - moment(&now["census"]["at"]);
    let left = left.total(jiff::Unit::Second).unwrap();
    assert!((20.0..=60.0).contains(&left), "{left}");
    peer.release("queue_expired_tasks");

    // A dual worker's locks are no obstacle.
    assert!(peer.acquire("dual", "b", 60.0));
    let started = std::time::Instant::now();
    ok(&server, &["locks", "advance", "--longest-timeout", "1s", "--interval", "50ms"]);
    assert!(
        started.elapsed().as_secs_f64() > 1.0,
        "it has to watch for longer than the longest timeout"
    );
    assert_eq!(status(&server)["counts"]["dual"], 1);
}

#[test]
fn downtime_is_refused_while_anything_is_alive() {
    // Without a phase, which means token, and then from old.
    for has_phase in [false, true] {
        let server = RedisServer::start();
        if has_phase {
            ok(&server, &["locks", "rollback", "--downtime"]);
        }
        check_downtime(&server, has_phase);
    }
}

fn check_downtime(server: &RedisServer, has_phase: bool) {
    let args = ["locks", "advance", "--downtime", "--wait", "0"];
    let mut peer = Peer::start(server, Venv::TaskTiger012);
    for mechanism in ["old", "dual", "token"] {
        assert!(peer.acquire(mechanism, "a", 30.0));
        let refused = output(server, &args);
        assert_eq!(refused.status.code(), Some(1), "{mechanism}");
        assert!(stderr(&refused).contains("lock a is held"), "{}", stderr(&refused));
        peer.release("a");
    }
    let holder = serde_json::json!({"op": "semaphore", "name": "q", "holder": "w", "timeout": 30, "size": 1});
    peer.ask(&holder);
    let refused = output(server, &args);
    assert!(
        refused.status.code() == Some(1) && stderr(&refused).contains("semaphore of queue q"),
        "{}",
        stderr(&refused)
    );
    peer.ask(&serde_json::json!({"op": "semaphore-release", "name": "q", "holder": "w"}));
    let run = spawn(server, &["run", "--lock", "b", "--", "sleep", "60"]);
    wait_for("the program", || {
        server.raw().exists(if has_phase { "t:lock:b" } else { "t:lockv2:b" }).unwrap()
    });
    assert_eq!(output(server, &args).status.code(), Some(1));
    send_signal(run.id(), "TERM");
    run.wait_with_output().unwrap();
    ok(server, &["locks", "advance", "--downtime"]);
    assert_eq!(status(server)["phase"]["phase"], "token");
}

#[test]
fn force_goes_on_says_its_risk_and_takes_the_lock_from_holders_in_the_way() {
    let server = RedisServer::start();
    ok(&server, &["locks", "rollback", "--downtime"]);
    let mut raw = server.raw();
    let run = spawn(
        &server,
        &["run", "--lock", "a", "--ttl", "30s", "--grace", "100ms", "--", "sleep", "60"],
    );
    wait_for("the old lock", || raw.exists("t:lock:a").unwrap());
    send_signal(run.id(), "STOP");
    let forced = output(&server, &["locks", "advance", "--to", "token", "--force"]);
    assert!(
        forced.status.success() && stderr(&forced).contains("two may hold one lock at once"),
        "{}",
        stderr(&forced)
    );
    send_signal(run.id(), "CONT");
    let ended = run.wait_with_output().unwrap();
    assert!(stderr(&ended).contains("moved to phase token"), "{}", stderr(&ended));
    assert_eq!(ended.status.code(), Some(79));
}
