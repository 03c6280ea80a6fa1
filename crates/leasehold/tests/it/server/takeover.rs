//! A restart that clients do not notice: the socket stays open, passed on by the running server or
//! by a service manager, and what connects meanwhile is answered by the next server.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::server::program::{Home, STOP_TIMEOUT, Server};

/// Runs `command` as a service manager does that listens on `socket`, and passes it `times` over.
pub(crate) fn with_socket(command: &Command, socket: &TcpListener, times: usize) -> Command {
    let copies: String = (3..3 + times).map(|number| format!(" {number}<&0")).collect();
    let script =
        format!("exec{copies} </dev/null; LISTEN_FDS={times} LISTEN_PID=$$ exec \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(OwnedFd::from(socket.try_clone().unwrap()));
    shell
}

#[test]
fn a_successor_takes_the_socket_and_the_leases_over() {
    let home = Home::new();
    let first = home.start(&[]);
    let mut client = first.client();
    client.create_limit("db", 2);
    let held = client.acquire(&["db"], 1).json();
    let mut servers = vec![first];
    for _ in 0..3 {
        let second = home.start(&["--takeover"]);
        let first = servers.pop().unwrap();
        let (status, log) = first.wait(STOP_TIMEOUT);
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("another process takes over"), "{log}");
        assert_eq!(second.address(), first_address(&log), "the socket is another one");
        assert_eq!(second.client().active_slots("db"), 1);
        servers.push(second);
    }
    let mut client = servers[0].client();
    let id = held["lease_id"].as_str().unwrap();
    let renewal = format!("/api/v2/concurrency_limits/leases/{id}/renew");
    assert_eq!(client.post(&renewal, &serde_json::json!({"lease_duration": 60})).status, 204);
}

/// Where a server's log says that it listened.
fn first_address(log: &str) -> std::net::SocketAddr {
    let (_, rest) = log.split_once("address=").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn no_connection_is_refused_while_servers_succeed_each_other() {
    let home = Home::new();
    let mut server = home.start(&[]);
    let address = server.address();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let mut connected = 0;
            while !done.load(Ordering::Relaxed) {
                match TcpStream::connect(address) {
                    Ok(_) => connected += 1,
                    Err(error) => return Err(error),
                }
                thread::sleep(Duration::from_millis(1));
            }
            Ok(connected)
        });
        for _ in 0..3 {
            let next = home.start(&["--takeover"]);
            server.wait(STOP_TIMEOUT);
            server = next;
        }
        done.store(true, Ordering::Relaxed);
        let connected = connecting.join().unwrap();
        assert!(connected.is_ok_and(|connected| connected > 3));
    });
}

#[test]
fn a_successor_without_a_predecessor_starts_as_any_server_does() {
    let home = Home::new();
    let server = home.start(&["--takeover"]);
    server.signal(Signal::KILL);
    let (_, log) = server.wait(STOP_TIMEOUT);
    assert!(log.contains("no server runs that could be taken over from"), "{log}");
    let server = home.start(&["--takeover"]);
    assert_eq!(server.client().get("/api/health").text(), "true");
}

#[test]
fn a_successor_that_gives_up_changes_nothing() {
    let home = Home::new();
    let server = home.start(&[]);
    let directory = std::fs::metadata(home.data_dir()).unwrap();
    let name = format!("leasehold/{}/{}", directory.dev(), directory.ino());
    let name = SocketAddr::from_abstract_name(name).unwrap();
    drop(UnixStream::connect_addr(&name).unwrap());
    let mut other = UnixStream::connect_addr(&name).unwrap();
    std::io::Write::write_all(&mut other, b"no\n").unwrap();
    assert_eq!(server.client().get("/api/health").text(), "true");
    let next = home.start(&["--takeover"]);
    assert_eq!(next.address(), server.address());
    let (_, log) = server.wait(STOP_TIMEOUT);
    assert_eq!(log.matches("a successor did not take over").count(), 2, "{log}");
}

#[test]
fn a_server_listens_on_the_socket_that_its_service_manager_passes() {
    let home = Home::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let start = || Server::start(with_socket(&home.start_command(&[]), &socket, 1));
    let server = start();
    assert_eq!(server.address(), address);
    server.client().create_limit("db", 1);
    server.stop();
    // The next server answers what came while none ran.
    let waiting = thread::spawn(move || TcpStream::connect(address).map(drop));
    waiting.join().unwrap().unwrap();
    let server = start();
    assert_eq!(server.client().active_slots("db"), 0);
}

#[test]
fn a_service_manager_that_passes_two_sockets_is_refused() {
    let home = Home::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let command = with_socket(&home.start_command(&[]), &socket, 2);
    let Err(ended) = Server::try_start(command) else { panic!("it started") };
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stderr.contains("2 sockets were passed; pass one TCP socket"), "{ended:?}");
}

#[test]
fn a_service_manager_is_notified_of_the_start_the_pulse_and_the_stop() {
    let home = Home::new();
    let path = home.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(STOP_TIMEOUT)).unwrap();
    let next = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    let mut command = home.start_command(&[]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let server = Server::start(command);
    assert_eq!(next(), "READY=1");
    assert_eq!(next(), "WATCHDOG=1");
    assert_eq!(next(), "WATCHDOG=1");
    server.signal(Signal::TERM);
    let mut last = next();
    while last == "WATCHDOG=1" {
        last = next();
    }
    assert_eq!(last, "STOPPING=1");
    assert_eq!(server.wait(STOP_TIMEOUT).0.code(), Some(0));
    manager.set_nonblocking(true).unwrap();
    while let Ok(length) = manager.recv(&mut [0; 256]) {
        assert!(length > 0);
    }
    assert_eq!(manager.recv(&mut [0; 256]).unwrap_err().kind(), ErrorKind::WouldBlock);
}
