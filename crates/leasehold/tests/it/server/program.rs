//! The program under test: its command line, its output, and a server that runs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::server::http::Client;

/// Longer than a server takes to start, on a machine that is busy with other tests.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Five seconds are promised, on a machine that does not stand still meanwhile. Whoever waited for
/// a client would wait for thirty.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A directory of its own, where nothing of this machine's user is seen.
pub(crate) struct Home(TempDir);

/// A server that runs. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// What it printed when it started.
    announcement: String,
    log: Option<thread::JoinHandle<String>>,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file into the directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program with arguments, without the environment of whoever runs the tests.
    pub(crate) fn leasehold<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        self.command(env!("CARGO_BIN_EXE_leasehold"), arguments)
    }

    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.0.path());
        command
    }

    /// `leasehold server start` on a port that is free and the data in this directory.
    pub(crate) fn start_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.leasehold(["server", "start", "--port", "0"]);
        command.arg("--data-dir").arg(self.data_dir()).args(arguments);
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Server {
        Server::start(self.start_command(arguments))
    }
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(command: Command) -> Self {
        Self::try_start(command)
            .unwrap_or_else(|ended| panic!("the server did not start: {ended:?}"))
    }

    /// Starts it and waits until it listens, or has ended.
    pub(crate) fn try_start(mut command: Command) -> Result<Self, Ended> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be run");
        let mut stderr = child.stderr.take().unwrap();
        let log = thread::spawn(move || {
            let mut log = String::new();
            let _ = stderr.read_to_string(&mut log);
            log
        });
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut announcement = String::new();
        let address = loop {
            let Ok(line) = lines.recv_timeout(START_TIMEOUT) else {
                // It has closed its output because it ends, or says nothing at all.
                let status = wait(&mut child, STOP_TIMEOUT);
                let stderr = log.join().unwrap();
                return Err(Ended { code: status.code(), stdout: announcement, stderr });
            };
            announcement.push_str(&line);
            announcement.push('\n');
            if let Some(address) = address_in(&line) {
                break address;
            }
        };
        // What else it announces comes at once.
        while !is_whole(&announcement) {
            let Ok(line) = lines.recv_timeout(START_TIMEOUT) else { break };
            announcement.push_str(&line);
            announcement.push('\n');
        }
        Ok(Self { child, address, announcement, log: Some(log) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn announcement(&self) -> &str {
        &self.announcement
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended by itself. Answers how, and what it logged.
    pub(crate) fn wait(mut self, within: Duration) -> (ExitStatus, String) {
        let status = wait(&mut self.child, within);
        (status, self.log.take().unwrap().join().unwrap())
    }

    /// Ends it with SIGTERM, which waits for no client. Answers what it logged.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, log) = self.wait(STOP_TIMEOUT);
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program that ends by itself.
pub(crate) fn run(mut command: Command) -> Ended {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be run");
    // Output that is longer than a pipe would block it; ours is not.
    wait(&mut child, START_TIMEOUT);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Waits until a condition holds.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "it never happened that {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn wait(child: &mut Child, within: Duration) -> ExitStatus {
    let until = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it did not end within {within:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The address in a line that names the API's.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once("http://")?;
    let (address, _) = after.split_once('/')?;
    address.parse().ok()
}

/// Whether the last line of what a server announces has come.
fn is_whole(announcement: &str) -> bool {
    announcement.starts_with('{') || announcement.contains("Ctrl-C")
}

/// The names of the files in a directory, for messages.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
