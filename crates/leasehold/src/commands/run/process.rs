//! The command's process group: started as one, told as one, ended as one.

use super::warden;
use crate::exit::{Exit, Failure};
use crate::output;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant, sleep, sleep_until};

/// The exit code of a program that a signal ended, as in a shell.
pub(super) fn code_of_signal(signal: Signal) -> u8 {
    u8::try_from(128 + signal as i32).unwrap_or(u8::MAX)
}

/// Signals to pass on to the command.
pub(super) struct Signals {
    streams: Vec<(Signal, unix::Signal)>,
}

const PASSED_ON: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let mut streams = Vec::new();
        for signal in PASSED_ON {
            let stream = unix::signal(SignalKind::from_raw(signal as i32)).map_err(|error| {
                Failure::new(Exit::Os, format!("failed to listen for {signal}: {error}"))
            })?;
            streams.push((signal, stream));
        }
        Ok(Self { streams })
    }

    pub(super) fn is_stop(signal: Signal) -> bool {
        matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT)
    }

    /// The next signal of any kind.
    pub(super) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (signal, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*signal);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// The next signal that asks to stop. The others have nobody to go to yet.
    pub(super) async fn stop(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if Self::is_stop(signal) {
                return signal;
            }
        }
    }

    /// A signal that asks to stop and has come already.
    pub(super) fn stop_now(&mut self) -> Option<Signal> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut arrived = self.streams.iter_mut().filter(|(signal, _)| Self::is_stop(*signal));
        arrived.find_map(|(signal, stream)| {
            stream.poll_recv(&mut context).is_ready().then_some(*signal)
        })
    }
}

/// A running command with everything that it has started and that did not leave its process group.
pub(super) struct Group {
    child: Child,
    group: Pid,
    kill_at: Option<Instant>,
    warden: Option<Warden>,
    terminal: Option<Terminal>,
}

impl Group {
    pub(super) fn spawn(command: &[OsString], grace: Duration) -> Result<Self, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::new(Exit::Usage, "no command to run"));
        };
        let warden = Warden::spawn(grace);
        let child =
            Command::new(program).args(arguments).process_group(0).spawn().map_err(|error| {
                let code = if error.kind() == std::io::ErrorKind::NotFound {
                    Exit::NotFound
                } else {
                    Exit::CannotRun
                };
                Failure::new(code, format!("failed to run {}: {error}", program.to_string_lossy()))
            })?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw)
            .ok_or_else(|| Failure::new(Exit::Os, "the command has no process id"))?;
        let mut spawned = Self { child, group, kill_at: None, warden, terminal: None };
        // Before anything else: from here on the command does not outlive us.
        spawned.tell_warden(None);
        spawned.terminal = Terminal::give_to(group);
        Ok(spawned)
    }

    /// The warden ends the group when it hears nothing more until then; `None` when only our end counts.
    pub(super) fn tell_warden(&mut self, until: Option<Instant>) {
        if let Some(warden) = &mut self.warden {
            let until_ms = until.map_or_else(|| "-".to_owned(), |until| ms_of(until).to_string());
            warden.tell(&format!("{} {until_ms}\n", self.group));
        }
    }

    pub(super) fn pass_on(&self, signal: Signal) {
        self.signal(signal);
    }

    /// SIGTERM now and SIGKILL then.
    pub(super) fn terminate(&mut self, kill_at: Instant) {
        self.signal(Signal::SIGTERM);
        // A stopped process would not see the SIGTERM.
        self.signal(Signal::SIGCONT);
        self.kill_at(kill_at);
    }

    pub(super) fn kill_at(&mut self, at: Instant) {
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Waits for the command itself to end; kills the group when its time is up.
    pub(super) async fn wait(&mut self) -> Result<u8, Failure> {
        loop {
            let kill_at = self.kill_at;
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    let status = status
                        .map_err(|error| Failure::new(Exit::Os, format!("failed to wait for the command: {error}")))?;
                    self.terminal = None;
                    return Ok(code_of(status));
                }
                () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                    self.signal(Signal::SIGKILL);
                    self.kill_at = None;
                }
            }
        }
    }

    /// D29: what the command left running in its group is ended before the lock is given back.
    pub(super) async fn end_leftovers(&mut self, grace: Duration) {
        if self.is_empty() {
            return;
        }
        output::say("the command has left processes behind, ending them");
        self.signal(Signal::SIGTERM);
        self.signal(Signal::SIGCONT);
        let kill_at = self.kill_at.unwrap_or_else(|| Instant::now() + grace);
        while !self.is_empty() {
            if Instant::now() >= kill_at {
                self.signal(Signal::SIGKILL);
                // What is dead and not yet reaped still counts as there; that is for its new parent to do.
                let reaped_by = Instant::now() + Duration::from_millis(500);
                while !self.is_empty() && Instant::now() < reaped_by {
                    sleep(Duration::from_millis(10)).await;
                }
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn is_empty(&self) -> bool {
        killpg(self.group, None) == Err(Errno::ESRCH)
    }

    fn signal(&self, signal: Signal) {
        match killpg(self.group, signal) {
            // A group that has ended needs no telling.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => output::say(&format!("failed to send {signal} to the command: {error}")),
        }
    }
}

/// A moment by the clock that the warden reads too. That clock is read first: standing still in between makes it no later.
fn ms_of(moment: Instant) -> u64 {
    let now_ms = warden::now_ms();
    let left = moment.saturating_duration_since(Instant::now());
    now_ms.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(Exit::No as u8)
}

/// The terminal belongs to the command while it runs, so that it can read from it and Ctrl-C goes to it.
struct Terminal {
    back_to: Pid,
}

impl Terminal {
    fn give_to(group: Pid) -> Option<Self> {
        let stdin = std::io::stdin();
        let ours = nix::unistd::getpgrp();
        if !stdin.is_terminal() || nix::unistd::tcgetpgrp(&stdin) != Ok(ours) {
            return None;
        }
        if !set_foreground(group) {
            return None;
        }
        // It may have been stopped for reading before the terminal was its own; a group that has ended needs nothing.
        let _ = killpg(group, Signal::SIGCONT);
        Some(Self { back_to: ours })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        set_foreground(self.back_to);
    }
}

/// From the background this would stop us with SIGTTOU, which is why it is blocked meanwhile.
fn set_foreground(group: Pid) -> bool {
    let mut stopping = SigSet::empty();
    stopping.add(Signal::SIGTTOU);
    let Ok(before) = SigSet::thread_get_mask() else {
        return false;
    };
    if stopping.thread_block().is_err() {
        return false;
    }
    let set = nix::unistd::tcsetpgrp(std::io::stdin(), group).is_ok();
    // A mask that was read a moment ago can be set again.
    let _ = before.thread_set_mask();
    set
}

/// A process that outlives us, and ends the command's group when it does not hear from us in time: because we were
/// killed, or are stopped while the lock runs out. D29.
struct Warden {
    process: std::process::Child,
    stdin: std::process::ChildStdin,
}

impl Warden {
    fn spawn(grace: Duration) -> Option<Self> {
        let program = std::env::current_exe().ok()?;
        let mut command = std::process::Command::new(program);
        command
            .args(["warden", "--grace-ms", &grace.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut process =
            std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().ok()?;
        let stdin = process.stdin.take()?;
        // A full pipe means that the warden does not run, and we are not to hang on it.
        fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
        Some(Self { process, stdin })
    }

    fn tell(&mut self, line: &str) {
        // What it misses it takes for silence, and acts on.
        let _ = self.stdin.write_all(line.as_bytes());
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // It has ended already only if something else ended it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
