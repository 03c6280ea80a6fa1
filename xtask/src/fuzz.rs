//! `cargo xtask fuzz`: random bytes for what reads bytes from strangers, for as long as wanted.
//!
//! libFuzzer is compiled into the programs of `fuzz/`, and the workspace's own crates are compiled
//! with its counters (`fuzz/instrument`): the stable compiler is enough. What it found before is in
//! `target/fuzz`, and the next run begins with it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::arguments::{FuzzArguments, FuzzTarget};
use crate::environment::{binary, cargo, root, target_dir};
use crate::packages::{self, Program};
use crate::step::{run, step};
use crate::venvs;

/// libFuzzer is C++.
const COMPILER: Program = Program { name: "c++", package: "g++", version_flag: "--version" };
const SCHEMATHESIS: &str = "schemathesis";
/// One input of a megabyte is as large as a body may be; most paths are found with less.
const INPUT_BYTES_MAX: &str = "-max_len=65536";
/// A single input that takes longer, in seconds, is a finding.
const INPUT_TIMEOUT: &str = "-timeout=20";
/// How long the server may take to answer after its start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Fuzzes what `arguments` name, each for so many minutes.
pub(crate) fn run_wanted(arguments: &FuzzArguments) -> Result<()> {
    let duration = Duration::from_secs_f64(arguments.minutes * 60.0);
    let targets = match arguments.target {
        Some(target) => vec![target],
        None => vec![FuzzTarget::Body, FuzzTarget::Http, FuzzTarget::Schemathesis],
    };
    for target in targets {
        match target {
            FuzzTarget::Body => step("fuzz: bodies", || libfuzzer("body", duration))?,
            FuzzTarget::Http => step("fuzz: connections", || libfuzzer("http", duration))?,
            FuzzTarget::Schemathesis => step("fuzz: schemathesis", || schemathesis(duration))?,
        }
    }
    Ok(())
}

/// Runs one of the programs of `fuzz/`. It ends with an error at the first input that breaks
/// something, and names the file where it left that input.
fn libfuzzer(target: &str, duration: Duration) -> Result<()> {
    packages::install_missing(&[COMPILER])?;
    let folder = target_dir().join("fuzz");
    let seeds = folder.join("seeds");
    run(cargo(&["run", "--package", "leasehold-fuzz", "--bin", "fuzz-seeds"]).arg(&seeds))?;
    let program = format!("fuzz-{target}");
    run(cargo(&["build", "--package", "leasehold-fuzz", "--features", "libfuzzer"])
        .args(["--bin", &program])
        .env("RUSTC_WORKSPACE_WRAPPER", root().join("fuzz").join("instrument")))?;
    let (found, broken) = (folder.join(target), folder.join("broken"));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&broken)?;
    run(Command::new(binary().with_file_name(&program))
        .arg(format!("-max_total_time={}", duration.as_secs().max(1)))
        .arg(format!("-artifact_prefix={}/{target}-", broken.display()))
        .args([INPUT_BYTES_MAX, INPUT_TIMEOUT, "-print_final_stats=1", "-verbosity=0"])
        .args([found, seeds.join(target)]))
}

/// Runs schemathesis against the program's own description of its API.
fn schemathesis(duration: Duration) -> Result<()> {
    let all = venvs::all()?;
    let venv = all.into_iter().find(|venv| venv.name == SCHEMATHESIS);
    let venv = venv.context("tests/venvs/schemathesis.txt is missing")?;
    venvs::prepare(std::slice::from_ref(&venv))?;
    run(&mut cargo(&["build", "--package", "leasehold"]))?;
    let folder = target_dir().join("fuzz").join(SCHEMATHESIS);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut server = Server::start(&folder)?;
    // It gets the address of the server, and writes its findings into its working folder.
    run(Command::new(venv.python().with_file_name(SCHEMATHESIS))
        .args(["--no-color", "run"])
        .arg(format!("http://127.0.0.1:{}/api/openapi.json", server.port))
        .args(["--checks", "not_a_server_error", "--workers", "2", "--continue-on-failure"])
        .arg(format!("--max-time={}", duration.as_secs().max(1)))
        .current_dir(&folder))?;
    server.ensure_unharmed()
}

/// The program under test.
struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    fn start(folder: &Path) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log = folder.join("server.log");
        let child = Command::new(binary())
            .args(["server", "start", "--park-seconds", "0", "--port", &port.to_string()])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("cannot start the server")?;
        let mut server = Self { child, port, log };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            server.ensure_unharmed()?;
            ensure!(started.elapsed() < START_TIMEOUT, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Fails if it has ended, or if one of its threads has panicked.
    fn ensure_unharmed(&mut self) -> Result<()> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended with {status}:\n{log}");
        }
        match log.lines().find(|line| line.contains("panicked")) {
            Some(line) => bail!("a thread of the server panicked: {line}"),
            None => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing that outlives this run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
