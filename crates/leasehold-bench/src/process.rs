//! Servers under test: each is a process with a data folder of its own. Dropping it stops the
//! process and deletes the folder, however the run ends.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a process may take to end on its signal, before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const LOG: &str = "server.log";

/// More open files than any benchmark needs.
const FILES_MAX: u64 = 65_536;

/// Raises the limit of open files, for us and for the servers that we start.
pub(crate) fn raise_file_limit() -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let raised = hard.min(FILES_MAX).max(soft);
    setrlimit(Resource::RLIMIT_NOFILE, raised, hard).context("the file limit cannot be raised")
}

/// A folder on a disk, in the working directory. /tmp may be in memory, where a commit costs too
/// little.
pub(crate) fn data_folder() -> anyhow::Result<TempDir> {
    let here = std::env::current_dir()?;
    if statfs(&here)?.filesystem_type() == TMPFS_MAGIC {
        bail!(
            "{} is in memory, where nothing is durable; run this in a folder on a disk",
            here.display()
        );
    }
    tempfile::Builder::new()
        .prefix("leasehold-bench-")
        .tempdir_in(&here)
        .with_context(|| format!("no data folder can be made in {}", here.display()))
}

/// A free port.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A running process that leads its own process group: Ctrl-C reaches only us, and we end the whole
/// group.
pub(crate) struct Process {
    child: Child,
    program: PathBuf,
    log: PathBuf,
    stop: Signal,
}

impl Process {
    /// Starts a server that logs into `folder` and ends cleanly on the signal `stop`.
    pub(crate) fn start(mut command: Command, folder: &Path, stop: Signal) -> anyhow::Result<Self> {
        let program = PathBuf::from(command.get_program());
        let log = folder.join(LOG);
        let output = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        Ok(Self { child, program, log, stop })
    }

    /// Fails, with the end of its log, if it has ended.
    pub(crate) fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(10)..].join("\n");
                bail!("{} ended with {status}:\n{tail}", self.program.display())
            }
        }
    }

    /// Its resident memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes.context("the process has no VmRSS")?.trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// The path of its log.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// Kills it at once, and waits until it has ended.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn pid(&self) -> Pid {
        // A process id of Linux fits: the kernel's maximum is 2^22.
        Pid::from_raw(self.child.id() as i32)
    }

    fn has_ended_within(&mut self, timeout: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < timeout {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return true,
            }
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may end by itself between the check and the signal. Then there is nothing to stop.
            let _ = kill(self.pid(), self.stop);
            self.has_ended_within(STOP_TIMEOUT);
        }
        // Kills it if it did not end, and what is left of its group.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// A program that is not installed, and how to install it.
#[derive(Debug)]
pub(crate) struct Missing {
    program: String,
    hint: String,
}

impl Missing {
    pub(crate) fn new(program: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { program: program.into(), hint: hint.into() }
    }
}

impl Display for Missing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not here; {}", self.program, self.hint)
    }
}

impl Error for Missing {}

/// Finds a program of a Debian package, on the path or where Debian puts it.
pub(crate) fn find(program: &str, package: &str) -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .chain(postgres_folders())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| Missing::new(program, format!("apt-get install {package}")))
}

/// The folders with PostgreSQL's programs, newest version first. Debian has one for each version.
fn postgres_folders() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = match fs::read_dir("/usr/lib/postgresql") {
        Ok(entries) => entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
            })
            .collect(),
        Err(_) => Vec::new(),
    };
    versions.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// The interpreter of one of the Python environments in target/venvs. `product` names what the
/// environment contains, and `packages` what pip installs for it.
pub(crate) fn python(venv: &str, product: &str, packages: &str) -> Result<PathBuf, Missing> {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    let folder = target.join("venvs").join(venv);
    let python = folder.join("bin").join("python");
    if python.exists() {
        return Ok(python);
    }
    let folder = folder.display();
    let hint = format!("python3 -m venv {folder} && {folder}/bin/pip install {packages}");
    Err(Missing::new(product, hint))
}

/// One of our own programs, which cargo puts into the folder of this one.
pub(crate) fn beside_us(name: &str) -> Result<PathBuf, Missing> {
    let ours = std::env::current_exe().unwrap_or_default().with_file_name(name);
    match fs::metadata(&ours) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Missing::new(
            ours.display().to_string(),
            format!("cargo build --release -p {name}"),
        )),
        Ok(_) | Err(_) => Ok(ours),
    }
}

/// Builds Leasehold as we were built, if cargo runs us: the program that is measured has to match
/// the sources.
pub(crate) fn build_leasehold() -> anyhow::Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "leasehold"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    if let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.current_dir(folder);
    }
    let status = command.status().context("cargo does not start")?;
    ensure!(status.success(), "leasehold could not be built");
    Ok(())
}

/// Waits until `is_ready` returns true. Fails if the process ends or is not ready in time.
pub(crate) async fn ready<F: Future<Output = bool>>(
    process: &mut Process,
    within: Duration,
    mut is_ready: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while !is_ready().await {
        process.ensure_running()?;
        if start.elapsed() > within {
            bail!("{} is not ready after {} s", process.program.display(), within.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_how_to_install_it() {
        let missing = find("no-such-program", "no-such-package").unwrap_err();
        let said = missing.to_string();
        assert_eq!(said, "no-such-program is not here; apt-get install no-such-package");
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("1000");
        let mut process = Process::start(command, folder.path(), Signal::SIGTERM).unwrap();
        process.ensure_running().unwrap();
        assert!(process.memory_bytes().unwrap() > 0);
        let pid = process.pid();
        drop(process);
        assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH));
    }

    #[test]
    fn dropping_a_process_ends_its_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $! > left"]).current_dir(folder.path());
        let mut process = Process::start(command, folder.path(), Signal::SIGTERM).unwrap();
        assert!(process.has_ended_within(STOP_TIMEOUT));
        let left = fs::read_to_string(folder.path().join("left")).unwrap();
        drop(process);
        // A zombie may stay until its parent takes its status; it does not run.
        let stat = format!("/proc/{}/stat", left.trim());
        let runs = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        let start = Instant::now();
        while runs() {
            assert!(start.elapsed() < STOP_TIMEOUT, "what was left behind still runs");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_error_of_an_ended_process_has_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo the disk is full; exit 3"]);
        let mut process = Process::start(command, folder.path(), Signal::SIGTERM).unwrap();
        assert!(process.has_ended_within(STOP_TIMEOUT));
        let error = process.ensure_running().unwrap_err().to_string();
        assert!(error.contains("exit status: 3:\nthe disk is full"), "{error}");
    }
}
