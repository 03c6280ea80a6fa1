//! A disk that is full, or that fails: what cannot be made durable is refused, reads go on,
//! nothing acknowledged is lost, and when there is room again everything goes on.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::server::http::{Answer, Client};
use crate::server::program::{Home, Server, eventually, run};

/// More acquires than a small disk has room for.
const ACQUIRES_MAX: usize = 20_000;
const SLOTS: u64 = 1_000_000;

/// A server whose data is on a disk of two mebibytes of its own, in a mount namespace that
/// ends with it.
struct OnSmallDisk {
    server: Server,
    /// The disk as it is seen from out here.
    disk: PathBuf,
}

impl OnSmallDisk {
    fn start(home: &Home) -> Self {
        let disk = home.path("disk");
        fs::create_dir(&disk).unwrap();
        let mut command = in_namespace(home);
        command.arg("mount -t tmpfs -o size=2m tmpfs \"$0\" && exec \"$@\"").arg(&disk);
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
    command.arg("trap '' XFSZ; ulimit -S -f 256; exec \"$0\" \"$@\"");
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
