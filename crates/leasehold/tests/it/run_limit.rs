//! `leasehold run --limit` and `leasehold rate-limit` with a real server.

mod loss;
mod waiting;

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use leasehold_client::{NewLimit, blocking};

use crate::alive::Alive;
use crate::client::World;
use crate::program::stderr;
use crate::support::{RedisServer, send_signal, wait_for};

/// A server with the limit `db`, and a client to look at it.
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) client: blocking::Client,
}

impl Place {
    pub(crate) fn new(slots: u64) -> Self {
        let world = World::new(&[]);
        let client = blocking::Client::new(world.client()).unwrap();
        client.run(client.client().create_limit(&NewLimit::new("db", slots))).unwrap();
        Self { world, client }
    }

    pub(crate) fn leasehold(&self, args: &[&str]) -> Command {
        let mut command = self.world.home.leasehold(args);
        command.env("LEASEHOLD_API_URL", self.world.url()).stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        self.leasehold(args).output().unwrap()
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.leasehold(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn taken(&self) -> u64 {
        self.client.run(self.client.client().limit("db")).unwrap().active_slots
    }

    pub(crate) fn waiters(&self) -> usize {
        self.client.run(self.client.client().waiters("db")).unwrap().len()
    }
}

/// A place in a script at which the test looks around.
struct Pause {
    is_reached: Alive,
    is_over: Alive,
}

impl Pause {
    fn new() -> Self {
        Self { is_reached: Alive::new(), is_over: Alive::new() }
    }

    fn script(&self) -> String {
        format!("{}; {}", self.is_reached.touch(), self.is_over.wait())
    }

    fn reached(&self) {
        self.is_reached.wait_for_start();
    }

    fn over(&self) {
        Command::new("sh").args(["-c", &self.is_over.touch()]).status().unwrap();
    }
}

#[test]
fn the_exit_code_is_the_commands_and_the_slots_are_given_back() {
    let place = Place::new(3);
    let pause = Pause::new();
    let script = format!(
        "{}; echo $LEASEHOLD_LEASE_ID $LEASEHOLD_FENCING_TOKEN $LEASEHOLD_DEADLINE; exit 7",
        pause.script()
    );
    let run = place.spawn(&["run", "--limit", "db=2", "--", "sh", "-c", &script]);
    pause.reached();
    assert_eq!(place.taken(), 2);
    pause.over();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(7), "{}", stderr(&ended));
    assert_eq!(stderr(&ended), "");
    let said = String::from_utf8(ended.stdout).unwrap();
    let words: Vec<_> = said.split_whitespace().collect();
    assert!(words[0].parse::<uuid::Uuid>().is_ok() && words[1].parse::<u64>().is_ok(), "{said}");
    assert!(words[2].parse::<jiff::Timestamp>().unwrap() > jiff::Timestamp::now(), "{said}");
    assert_eq!(place.taken(), 0);
    let ended = place.output(&["run", "--limit", "db", "--", "no-such-command"]);
    assert_eq!(ended.status.code(), Some(127));
    assert_eq!(place.taken(), 0);
}

#[test]
fn an_unknown_limit_is_an_error_with_the_nearest_names_or_is_created() {
    let place = Place::new(1);
    let refused = place.output(&["run", "--limit", "dbb", "--", "true"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = stderr(&refused);
    assert!(text.starts_with("error: There is no limit named 'dbb'."), "{text}");
    assert!(text.contains("Did you mean 'db'?") && text.lines().count() == 1, "{text}");
    let ended = place.output(&["run", "--limit", "build", "--create", "4", "--", "true"]);
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    let build = place.client.run(place.client.client().limit("build")).unwrap();
    assert_eq!(build.limit, 4);
    let never = place.output(&["run", "--limit", "db=2", "--", "true"]);
    assert_eq!(never.status.code(), Some(1));
    assert!(stderr(&never).contains("there will never be room"), "{}", stderr(&never));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let place = Place::new(1);
    for args in [
        &["run", "--", "true"][..],
        &["run", "--limit", "db=x", "--", "true"],
        &["run", "--limit", "db", "--ttl", "100ms", "--", "true"],
        &["run", "--limit", "db", "--limit", "db", "--", "true"],
        &["run", "--lock", "a", "--keep", "5m", "--", "true"],
        &["run", "--limit", "db", "--keep", "2d", "--", "true"],
    ] {
        let refused = place.output(args);
        assert_eq!(refused.status.code(), Some(64), "{args:?} {}", stderr(&refused));
    }
    let mut away = place.leasehold(&["run", "--limit", "db", "--", "true"]);
    away.env("LEASEHOLD_API_URL", "nonsense");
    assert_eq!(away.output().unwrap().status.code(), Some(78));
}

#[test]
fn a_server_that_is_not_there_is_69() {
    let place = Place::new(1);
    let mut away = place.leasehold(&["run", "--limit", "db", "--", "true"]);
    away.env("LEASEHOLD_API_URL", "http://127.0.0.1:1/api");
    let ended = away.output().unwrap();
    assert_eq!(ended.status.code(), Some(69));
    assert!(stderr(&ended).contains("cannot reach http://127.0.0.1:1/api"), "{}", stderr(&ended));
}

#[test]
fn signals_pass_through_to_a_command_under_a_limit() {
    let place = Place::new(1);
    let ready = Alive::new();
    for (signal, code) in [("TERM", 11), ("INT", 12), ("USR1", 14)] {
        let touch = ready.touch();
        let script = format!("trap 'exit {code}' {signal}; {touch}; while :; do sleep 0.02; done");
        let mut run = place.spawn(&["run", "--limit", "db", "--", "sh", "-c", &script]);
        ready.wait_for_start();
        send_signal(run.id(), signal);
        assert_eq!(run.wait().unwrap().code(), Some(code), "{signal}");
        ready.remove();
    }
    assert_eq!(place.taken(), 0);
}

#[test]
fn kept_slots_are_free_after_their_time() {
    let place = Place::new(1);
    let args = ["run", "--limit", "db", "--keep", "2s", "--", "sh", "-c", "exit 3"];
    assert_eq!(place.output(&args).status.code(), Some(3));
    let ended = Instant::now();
    let other = place.output(&["run", "--limit", "db", "--wait", "0", "--", "true"]);
    assert_eq!(other.status.code(), Some(75), "{}", stderr(&other));
    let waited = place.output(&["run", "--limit", "db", "--", "true"]);
    assert_eq!(waited.status.code(), Some(0), "{}", stderr(&waited));
    assert!(ended.elapsed() > Duration::from_secs(1), "{:?}", ended.elapsed());
}

#[test]
fn a_lock_on_redis_and_a_limit_hold_together() {
    let place = Place::new(1);
    let redis = RedisServer::start();
    let pause = Pause::new();
    let script = format!("redis-cli -p {} exists t:lockv2:a; {}", redis.port, pause.script());
    let url = redis.url();
    let both = ["run", "--redis", &url, "--lock", "a", "--limit", "db", "--", "sh", "-c", &script];
    let run = place.spawn(&both);
    pause.reached();
    assert_eq!(place.taken(), 1);
    pause.over();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "1\n");
    assert_eq!(place.taken(), 0);

    // The lock is lost while the run waits for the slot.
    let _holder = place.client.acquire(place.client.ask("db")).unwrap();
    let both =
        ["run", "--redis", &url, "--lock", "a", "--limit", "db", "--ttl", "3s", "--", "true"];
    let run = place.spawn(&both);
    wait_for("the wait", || place.waiters() == 1);
    let mut raw = redis.raw();
    let _: () = redis::Commands::del(&mut raw, "t:lockv2:a").unwrap();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(79), "{}", stderr(&ended));
    wait_for("the request to leave", || place.waiters() == 0);
}

#[test]
fn a_rate_limit_returns_when_the_rate_allows_it() {
    let place = Place::new(1);
    let api = NewLimit::new("api", 1).decay(2.0);
    place.client.run(place.client.client().create_limit(&api)).unwrap();
    let started = Instant::now();
    for _ in 0..3 {
        let ended = place.output(&["rate-limit", "api"]);
        assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    }
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    let refused = place.output(&["rate-limit", "api", "--wait", "0"]);
    assert_eq!(refused.status.code(), Some(75), "{}", stderr(&refused));
    let wrong = place.output(&["rate-limit", "db"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("decay"), "{}", stderr(&wrong));
}

#[test]
fn help_has_examples_and_fits_80_columns() {
    let place = Place::new(1);
    for command in ["run", "rate-limit", "top"] {
        let help = place.output(&[command, "--help"]);
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(text.contains(&format!("  leasehold {command}")), "{text}");
        let wide = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None);
    }
}
