//! A real Redis, and real peers in other processes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use leasehold_redis::{Address, Redis};
use redis::Commands;
use serde_json::{Value, json};

/// Longer than anything takes that comes soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The ttl of a lock that is to stay held: it is renewed at a third of it, and a machine that
/// stands still for a second or two in between does not cost the holder the lock.
pub(crate) const STEADY_TTL: Duration = Duration::from_secs(6);

const PORTS_TRIED_MAX: u32 = 20;

/// A redis-server of this test alone, on a free port, stopped at the end.
pub(crate) struct RedisServer {
    process: Child,
    pub(crate) port: u16,
    _dir: tempfile::TempDir,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::with_options(&[])
    }

    pub(crate) fn with_options(options: &[&str]) -> Self {
        // The port was free a moment ago. If another program took it meanwhile, the next one is
        // tried.
        let started = (0..PORTS_TRIED_MAX).find_map(|_| Self::start_on(free_port(), options));
        started.expect("redis-server ends at once with these options, on any port")
    }

    /// `None` where it ends instead of listening, as it does when its port is taken.
    fn start_on(port: u16, options: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--hz", "100", "--dir"])
            .arg(dir.path())
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("these tests need redis-server (apt-get install redis-server): {error}")
            });
        let mut server = Self { process, port, _dir: dir };
        let mut is_running = true;
        wait_for("redis-server to listen", || {
            is_running = server.process.try_wait().unwrap().is_none();
            !is_running || server.is_the_one_that_listens()
        });
        is_running.then_some(server)
    }

    /// Whether this process answers, and not another server on the same port.
    fn is_the_one_that_listens(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let expected = format!("process_id:{}\r\n", self.process.id());
        // A server with a password does not say which process it is.
        let refused = "-NOAUTH";
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let _ = stream.write_all(b"INFO server\r\n");
        let mut answer = Vec::new();
        let mut part = [0; 4_096];
        loop {
            match stream.read(&mut part) {
                Ok(length @ 1..) => answer.extend_from_slice(&part[..length]),
                _ => return false,
            }
            let text = String::from_utf8_lossy(&answer);
            if text.contains(&expected) || text.starts_with(refused) {
                return true;
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) async fn connect(&self) -> Redis {
        let address: Address = self.url().parse().unwrap();
        Redis::connect(&address).await.unwrap()
    }

    /// A connection beside the crate's, to look at what it wrote.
    pub(crate) fn raw(&self) -> redis::Connection {
        self.try_raw().unwrap()
    }

    /// As [`raw`](Self::raw), for a server that may hang up: one that changes its role does.
    pub(crate) fn try_raw(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url())?.get_connection()
    }

    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.process.id(), signal);
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn send_signal(pid: u32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {signal} {pid}");
}

/// A free port below those that the system gives to programs that ask for any.
/// The port of a cluster's own bus, 10,000 above it, is one as well.
pub(crate) fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| fastrand::u16(10_000..32_000));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Waits for what comes soon, on a machine that may stand still now and then.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The clock of Redis, in ms: what it says can be compared with the deadlines of its keys however
/// long a test takes.
pub(crate) fn now_ms(raw: &mut redis::Connection) -> i64 {
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query(raw).unwrap();
    seconds * 1_000 + micros / 1_000
}

/// Waits until each key of a lock was renewed: the token's has another deadline then, the old one
/// another value.
pub(crate) fn wait_for_renewal(raw: &mut redis::Connection, id: &str) {
    let mut look = || -> Vec<(String, Option<String>, i64)> {
        let keys = ["t:lock:", "t:lockv2:"].map(|prefix| format!("{prefix}{id}"));
        let looked = keys.map(|key| {
            let value: Option<String> = raw.get(&key).unwrap();
            let deadline: i64 = raw.pexpire_time(&key).unwrap();
            (key, value, deadline)
        });
        looked.into_iter().filter(|(_, value, _)| value.is_some()).collect()
    };
    let before = look();
    assert!(!before.is_empty(), "{id} is free");
    wait_for("a renewal", || {
        let now = look();
        before.iter().all(|one| now.iter().any(|other| one.0 == other.0 && one != other))
    });
}

/// Which packages a peer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Venv {
    TaskTiger012,
    TaskTiger026,
    RedisPy,
}

impl Venv {
    fn name(self) -> &'static str {
        match self {
            Self::TaskTiger012 => "tasktiger-0.12",
            Self::TaskTiger026 => "tasktiger-0.26",
            Self::RedisPy => "redis-py",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::TaskTiger012 => &["tasktiger==0.12", "redis<4"],
            Self::TaskTiger026 => &["tasktiger==0.26.3", "redis"],
            Self::RedisPy => &["redis"],
        }
    }

    /// The interpreter, from the directory that the test set-up names, or made here on first use.
    pub(crate) fn python(self) -> PathBuf {
        static FOUND: [OnceLock<PathBuf>; 3] = [const { OnceLock::new() }; 3];
        FOUND[self as usize].get_or_init(|| self.find_python()).clone()
    }

    fn imports(self) -> &'static str {
        if self == Self::RedisPy { "import redis" } else { "import tasktiger, redis" }
    }

    fn find_python(self) -> PathBuf {
        let dir = std::env::var_os("LEASEHOLD_TEST_VENV_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venvs"),
            PathBuf::from,
        );
        std::fs::create_dir_all(&dir).unwrap();
        let venv = dir.join(self.name());
        let python = venv.join("bin/python");
        let lock = File::create(dir.join(format!("{}.lock", self.name()))).unwrap();
        lock.lock().unwrap();
        let imports = || {
            let mut import = Command::new(&python);
            import.args(["-c", self.imports()]).stdout(Stdio::null()).stderr(Stdio::null());
            import.status().is_ok_and(|status| status.success())
        };
        if !imports() {
            let _ = std::fs::remove_dir_all(&venv);
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
            run(Command::new(venv.join("bin/pip")).args(["install", "-q"]).args(self.packages()));
            assert!(imports(), "{} cannot do: {}", venv.display(), self.imports());
        }
        python
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?} failed: the tests need the real peers from PyPI");
}

/// A Python process that holds real locks.
pub(crate) struct Peer {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(server: &RedisServer, venv: Venv) -> Self {
        Self::with_skew(server, venv, 0.0)
    }

    pub(crate) fn with_skew(server: &RedisServer, venv: Venv, skew: f64) -> Self {
        let mut process = Command::new(venv.python())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../leasehold-redis/tests/it/peer.py"))
            .args([server.port.to_string(), skew.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the peer did not start");
        Self { process, stdin, stdout }
    }

    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        self.send(command);
        self.answer()
    }

    pub(crate) fn send(&mut self, command: &Value) {
        writeln!(self.stdin, "{command}").unwrap();
    }

    pub(crate) fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn acquire(&mut self, mechanism: &str, id: &str, timeout: f64) -> bool {
        let answer =
            self.ask(&json!({"op": "acquire", "mechanism": mechanism, "name": id, "timeout": number(timeout)}));
        answer["ok"].as_bool().unwrap_or_else(|| panic!("{answer}"))
    }

    pub(crate) fn release(&mut self, id: &str) -> Value {
        self.ask(&json!({"op": "release", "name": id}))
    }

    pub(crate) fn renew(&mut self, id: &str) -> Value {
        self.ask(&json!({"op": "renew", "name": id}))
    }
}

/// Whole seconds as Python ints, as TaskTiger's settings have them.
#[expect(clippy::cast_possible_truncation, reason = "timeouts of tests are small")]
fn number(timeout: f64) -> Value {
    if timeout.fract() == 0.0 { json!(timeout as i64) } else { json!(timeout) }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
