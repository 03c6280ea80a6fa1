//! The configuration of nginx in `docs/proxy.md`, with a real nginx before a real server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::server::http::{Answer, Client};
use crate::server::program::{Home, Server};
use crate::server::socket::Socket;

const ACQUIRE: &str = "/api/v2/concurrency_limits/increment-with-lease";

/// An nginx that runs. Stopped when dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
}

/// The page's configuration, for this server, on a port of its own.
fn configuration(port: u16, server: &Server, dir: &Path) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/proxy.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once("```nginx\n").expect("the page has a configuration");
    let (block, _) = block.split_once("```").unwrap();
    for once in ["listen 80;", "server 127.0.0.1:4200;"] {
        assert_eq!(block.matches(once).count(), 1, "{once}");
    }
    let block = block
        .replace("listen 80;", &format!("listen 127.0.0.1:{port};"))
        .replace("server 127.0.0.1:4200;", &format!("server {};", server.address()));
    let dir = dir.display();
    format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log;\n\
         events {{}}\n\
         http {{\naccess_log off;\n\
         client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; \
         uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n{block}\n}}\n"
    )
}

/// Debian keeps it where only root looks.
fn program() -> &'static str {
    let usual = "/usr/sbin/nginx";
    if Path::new(usual).exists() { usual } else { "nginx" }
}

impl Nginx {
    fn start(home: &Home, server: &Server) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = home.path("");
        let file = home.write("nginx.conf", &configuration(port, server, &dir));
        let mut child = Command::new(program())
            .arg("-p")
            .arg(&dir)
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("this test needs nginx (apt-get install nginx-light): {error}")
            });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let since = Instant::now();
        while TcpStream::connect(address).is_err() {
            let log = || fs::read_to_string(dir.join("error.log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "nginx has ended: {}", log());
            assert!(since.elapsed() < Duration::from_secs(60), "nginx does not listen: {}", log());
            std::thread::yield_now();
        }
        Self { child, address }
    }

    /// A connection from an address of this machine.
    fn client(&self, from: [u8; 4]) -> Client {
        Client::connect_from(from, self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::QUIT));
        let _ = self.child.wait();
    }
}

fn ask(client: &mut Client) -> Answer {
    client.acquire(&["db"], 1)
}

/// Sleeps as a refused client was asked to.
fn sleep_as_asked(refused: &Answer) {
    let seconds = refused.header("retry-after").unwrap().parse().unwrap();
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

/// How many wait for the limit.
fn waiting(client: &mut Client) -> usize {
    let waiters = client.get("/api/v2/concurrency_limits/db/waiters").json();
    waiters.as_array().unwrap().len()
}

#[test]
fn two_clients_behind_nginx_are_told_apart_and_one_that_waits_is_held_open() {
    let home = Home::new();
    let server = home.start(&[]);
    let nginx = Nginx::start(&home, &server);
    let mut watcher = nginx.client([127, 0, 0, 1]);
    watcher.create_limit("db", 1);
    let lease = ask(&mut watcher).json()["lease_id"].clone();

    let (mut waits, mut tries) = (nginx.client([127, 0, 0, 2]), nginx.client([127, 0, 0, 3]));
    for _ in 0..2 {
        sleep_as_asked(&ask(&mut waits));
    }
    // Were it taken for the other one, it would be held open now.
    assert_eq!(ask(&mut tries).status, 423);
    assert_eq!(waiting(&mut watcher), 0);

    let body = json!({"names": ["db"], "slots": 1});
    let granted = std::thread::spawn(move || {
        loop {
            let answer = waits.post(ACQUIRE, &body);
            if answer.status != 423 {
                return answer;
            }
            sleep_as_asked(&answer);
        }
    });
    let since = Instant::now();
    while waiting(&mut watcher) == 0 {
        assert!(since.elapsed() < Duration::from_secs(60), "it is not held open");
    }
    let release = json!({"lease_id": lease});
    let released = watcher.post("/api/v2/concurrency_limits/decrement-with-lease", &release);
    assert_eq!(released.status, 204);
    let answer = granted.join().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(nginx);
    server.stop();
}

#[test]
fn a_web_socket_passes_nginx() {
    let home = Home::new();
    let server = home.start(&[]);
    let nginx = Nginx::start(&home, &server);
    let mut socket = Socket::upgrade(nginx.client([127, 0, 0, 1]), "/api/events/in");
    socket.say(&json!({
        "occurred": "2026-01-01T00:00:00Z",
        "event": "greeting",
        "resource": {"prefect.resource.id": "x", "prefect.resource.name": "x"},
    }));
    let mut client = nginx.client([127, 0, 0, 1]);
    let told = |client: &mut Client| -> Vec<Value> {
        let page = client.get("/api/leasehold/events?kind=greeting").json();
        page["events"].as_array().unwrap().clone()
    };
    let since = Instant::now();
    while told(&mut client).is_empty() {
        assert!(since.elapsed() < Duration::from_secs(60), "the event does not come");
    }
    drop(nginx);
    server.stop();
}
