//! A disk that is full, or that fails: what cannot be made durable is refused, reads go on,
//! nothing acknowledged is lost, and when there is room again everything goes on.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::server::http::{Answer, Client};
use crate::server::program::{Home, Server, eventually, run};
use crate::server::socket::Socket;

/// More acquires than a small disk has room for.
const ACQUIRES_MAX: usize = 20_000;
const SLOTS: u64 = 1_000_000;

/// A server whose data is on a small disk of its own, in a mount namespace that ends with it.
struct OnSmallDisk {
    server: Server,
    /// The disk as it is seen from out here.
    disk: PathBuf,
}

impl OnSmallDisk {
    fn start(home: &Home) -> Self {
        Self::start_on(home, "2m")
    }

    fn start_on(home: &Home, size: &str) -> Self {
        let disk = home.path("disk");
        fs::create_dir(&disk).unwrap();
        let mut command = in_namespace(home);
        command
            .arg(format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\""))
            .arg(&disk);
        let start = home.leasehold(["server", "start", "--port", "0", "--data-dir"]);
        command.arg(start.get_program()).args(start.get_args()).arg(disk.join("data"));
        let server = Server::start(command);
        let seen = PathBuf::from(format!("/proc/{}/root", server.pid()));
        Self { disk: seen.join(disk.strip_prefix("/").unwrap()), server }
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let mut size = 1 << 16;
        while size > 0 {
            if ballast.write(&vec![0; size]).is_err() {
                size /= 2;
            }
        }
    }

    /// Takes so many bytes.
    fn take(&self, bytes: usize) {
        fs::write(self.ballast(), vec![0; bytes]).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.disk.join("ballast")
    }
}

/// `sh -c` where mounting is allowed and seen by nobody else: in a mount namespace, and for a
/// user who is not root in a user namespace as well.
fn in_namespace(home: &Home) -> Command {
    let refusals: Vec<_> = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]]
        .into_iter()
        .map(|flags| {
            let unshare = |script: &str| {
                home.command("unshare", flags.iter().copied().chain(["sh", "-c", script]))
            };
            let tried = run(unshare("mount -t tmpfs tmpfs /mnt"));
            if tried.code == Some(0) {
                let arguments: Vec<_> = flags.iter().copied().chain(["sh", "-c"]).collect();
                return Ok(home.command("unshare", arguments));
            }
            Err(tried.stderr)
        })
        .collect();
    let reasons: String =
        refusals.iter().filter_map(|tried| tried.as_ref().err()).cloned().collect();
    refusals.into_iter().find_map(Result::ok).unwrap_or_else(|| {
        panic!("this test needs root, or user namespaces that may mount: {reasons}")
    })
}

/// Acquires until that is refused. Answers the refusal, and adds the leases that were
/// acknowledged.
fn acquire_until_refused(client: &mut Client, leases: &mut Vec<Value>) -> Answer {
    for _ in 0..ACQUIRES_MAX {
        let answer = client.acquire(&["db"], 1);
        if answer.status != 200 {
            return answer;
        }
        leases.push(answer.json());
    }
    panic!("the disk never was full");
}

fn check_refusal(refusal: &Answer) {
    assert_eq!(refusal.status, 503, "{refusal:?}");
    assert_eq!(refusal.json(), json!({"exception_message": "Service Unavailable"}));
    let seconds: f64 = refusal.header("retry-after").unwrap().parse().unwrap();
    assert!((0.1..=30.0).contains(&seconds), "{seconds}");
}

/// What was acknowledged is there, and nothing else.
fn check_holds(client: &mut Client, leases: &[Value]) {
    assert_eq!(client.active_slots("db"), leases.len() as u64);
    for lease in leases.iter().rev().take(20) {
        let path = format!("/api/leases/{}", lease["lease_id"].as_str().unwrap());
        assert_eq!(client.get(&path).json()["fencing_token"], lease["fencing_token"]);
    }
}

fn release(client: &mut Client, lease: &Value) -> u16 {
    let body = json!({"lease_id": lease["lease_id"]});
    client.post("/api/v2/concurrency_limits/decrement-with-lease", &body).status
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else_until_there_is_room() {
    let home = Home::new();
    let small = OnSmallDisk::start(&home);
    let mut client = small.server.client();
    client.create_limit("db", SLOTS);
    let mut leases = Vec::new();
    leases.push(client.acquire(&["db"], 1).json());

    small.fill();
    let refusal = acquire_until_refused(&mut client, &mut leases);
    check_refusal(&refusal);
    for _ in 0..50 {
        check_holds(&mut client, &leases);
        assert_eq!(client.get("/api/ready").status, 200);
        assert_eq!(client.get("/api/v2/concurrency_limits/db/leases").status, 200);
    }
    // Another write fails as the first one did, and the reads beside it do not.
    let mut reader = small.server.client();
    std::thread::scope(|scope| {
        let writes =
            scope.spawn(|| (0..50).map(|_| client.acquire(&["db"], 1).status).collect::<Vec<_>>());
        while !writes.is_finished() {
            check_holds(&mut reader, &leases);
        }
        assert_eq!(writes.join().unwrap(), [503; 50]);
    });

    small.make_room();
    let lease = eventually("it goes on", || {
        let answer = client.acquire(&["db"], 1);
        (answer.status == 200).then(|| answer.json())
    });
    leases.push(lease);
    check_holds(&mut client, &leases);
    assert_eq!(release(&mut client, &leases.remove(0)), 204);
    check_holds(&mut client, &leases);

    let log = small.server.stop();
    assert!(log.contains("the journal's disk is full"), "{log}");
    let lines = log.lines().count();
    assert!(lines < 30, "a full disk must not fill the log: {lines} lines");
}

#[test]
fn a_server_does_not_start_on_a_full_disk() {
    let home = Home::new();
    let disk = home.path("disk");
    fs::create_dir(&disk).unwrap();
    let mut command = in_namespace(&home);
    command.arg(
        "mount -t tmpfs -o size=64k tmpfs \"$0\" && cat /dev/zero > \"$0/ballast\" 2>&-; exec \"$@\"",
    );
    command.arg(&disk).arg(env!("CARGO_BIN_EXE_leasehold"));
    command.args(["server", "start", "--port", "0", "--data-dir"]).arg(disk.join("data"));
    let ended = run(command);
    assert_eq!(ended.code, Some(73), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("cannot be written"), "{ended:?}");
    assert!(ended.stderr.contains("make room on its disk"), "{ended:?}");
}

#[test]
fn a_server_that_does_not_start_again_says_that_the_disk_is_full() {
    let home = Home::new();
    let server = home.start(&[]);
    server.client().create_limit("db", 1);
    server.stop();
    let disk = home.path("disk");
    fs::create_dir(&disk).unwrap();
    let mut command = in_namespace(&home);
    command.arg(
        "mount -t tmpfs -o size=2m tmpfs \"$0\" && cp -r \"$1\" \"$0/data\" && \
         { cat /dev/zero > \"$0/ballast\" 2>&-; shift; exec \"$@\"; }",
    );
    command.arg(&disk).arg(home.data_dir()).arg(env!("CARGO_BIN_EXE_leasehold"));
    command.args(["server", "start", "--port", "0", "--data-dir"]).arg(disk.join("data"));
    let ended = run(command);
    assert_eq!(ended.code, Some(73), "{ended:?}");
    assert!(ended.stderr.contains("the disk is full; make room on its disk"), "{ended:?}");
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a client says that wants to fill the disk.
fn flood(number: u64) -> Value {
    let run = format!("prefect.task-run.00000000-0000-4000-8000-{number:012}");
    json!({
        "occurred": "2026-01-01T00:00:00Z", "event": "prefect.task-run.Running",
        "resource": {
            "prefect.resource.id": run, "prefect.state-type": "RUNNING",
            "prefect.state-name": "Running",
        },
        "payload": {"task_run": {"name": "x".repeat(30_000)}},
    })
}

fn record_flow(client: &mut Client, number: u64) -> Answer {
    client.post("/api/flows/", &json!({"name": format!("{number} {}", "x".repeat(200_000))}))
}

#[test]
fn clients_that_fill_the_disk_with_events_and_runs_leave_room_for_leases() {
    let home = Home::new();
    let small = OnSmallDisk::start_on(&home, "64m");
    small.take(24 << 20);
    let mut client = small.server.client();
    client.create_limit("db", SLOTS);
    let mut leases = vec![client.acquire(&["db"], 1).json()];

    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let mut socket = Socket::connect(&small.server, "/api/events/in");
            let numbers = (0..).take_while(|_| !is_over.load(Ordering::Relaxed));
            numbers.for_each(|number| socket.say(&flood(number)));
        });
        // A failure below ends it, too.
        let end = EndOnDrop(&is_over);
        let mut flows = small.server.client();
        let refusal = (0..10_000)
            .map(|number| record_flow(&mut flows, number))
            .find(|answer| answer.status >= 300);
        check_refusal(&refusal.expect("the disk never was almost full"));
        for _ in 0..200 {
            let answer = client.acquire(&["db"], 1);
            assert_eq!(answer.status, 200, "{answer:?}");
            leases.push(answer.json());
            let path = format!(
                "/api/v2/concurrency_limits/leases/{}/renew",
                leases[0]["lease_id"].as_str().unwrap()
            );
            let answer = client.post(&path, &json!({"lease_duration": 60}));
            assert_eq!(answer.status, 204, "{answer:?}");
        }
        check_holds(&mut client, &leases);
        // A reader of the log does not wait for what comes after it asked.
        assert_eq!(client.get("/api/leasehold/events?limit=1").status, 200);
        assert_eq!(client.post("/api/flow_runs/filter", &json!({"limit": 1})).status, 200);
        assert_eq!(record_flow(&mut flows, 10_000).status, 503);
        drop(end);
        flooding.join().unwrap();
    });

    small.make_room();
    eventually("runs are recorded again", || {
        (record_flow(&mut client, 20_000).status == 201).then_some(())
    });
    check_holds(&mut client, &leases);
    let log = small.server.stop();
    assert_eq!(log.matches("the disk is almost full").count(), 1, "{log}");
    assert_eq!(log.matches("the disk has room again").count(), 1, "{log}");
    assert!(!log.contains("could not be"), "{log}");
}

#[test]
fn what_was_acknowledged_on_a_full_disk_survives_kill_9() {
    let home = Home::new();
    let small = OnSmallDisk::start(&home);
    let mut client = small.server.client();
    client.create_limit("db", SLOTS);
    small.fill();
    let mut leases = Vec::new();
    check_refusal(&acquire_until_refused(&mut client, &mut leases));

    // The disk ends with its server, so that its files are taken out first; they are what a
    // server finds that starts after a crash.
    copy_files(&small.disk.join("data"), &home.data_dir());
    drop(small);
    let server = home.start(&[]);
    let mut client = server.client();
    check_holds(&mut client, &leases);
    assert_eq!(client.acquire(&["db"], 1).status, 200);
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_disk_that_fails_refuses_writes_until_it_works_again() {
    let home = Home::new();
    // Writes beyond so many bytes of a file fail, and not because there is no room.
    let mut command = home.command("sh", ["-c"]);
    command.arg("trap '' XFSZ; ulimit -S -f 1024; exec \"$0\" \"$@\"");
    let start = home.start_command(&[]);
    command.arg(start.get_program()).args(start.get_args());
    let server = Server::start(command);
    let mut client = server.client();
    client.create_limit("db", SLOTS);
    let mut leases = Vec::new();
    check_refusal(&acquire_until_refused(&mut client, &mut leases));
    check_holds(&mut client, &leases);

    let pid = server.pid().to_string();
    let repaired = run(home.command("prlimit", ["--pid", &pid, "--fsize=unlimited:unlimited"]));
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    let lease = eventually("it goes on", || {
        let answer = client.acquire(&["db"], 1);
        (answer.status == 200).then(|| answer.json())
    });
    leases.push(lease);
    check_holds(&mut client, &leases);
    server.stop();

    let server = home.start(&[]);
    check_holds(&mut server.client(), &leases);
}
