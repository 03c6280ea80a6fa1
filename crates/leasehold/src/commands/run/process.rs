//! The command with all that it has started: one process group for its start, its signals and its
//! end.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant, sleep, sleep_until};

use super::family::{self, Family, MARKS, Tree};
use crate::exit::{Exit, Failure};
use crate::output;

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

    /// The next signal that asks to stop. Before the command runs, the others go nowhere.
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

/// So often adopted processes that have ended are looked for.
const REAPED_EVERY: Duration = Duration::from_secs(1);
/// So long what was killed may take to be gone: what is dead and not yet reaped still counts as
/// there.
const KILLED_WITHIN: Duration = Duration::from_millis(500);

/// A running command with everything that it has started.
pub(super) struct Group {
    child: Child,
    group: Pid,
    family: Family,
    /// Children that we had before the command.
    others: Vec<Pid>,
    kill_at: Option<Instant>,
    is_killed: bool,
    orphans: Orphans,
    terminal: Option<Terminal>,
}

/// When a child has ended that may be an adopted one.
struct Orphans {
    ended: unix::Signal,
    is_due: bool,
    reaped_at: Instant,
}

impl Orphans {
    async fn due(&mut self) {
        if !self.is_due {
            self.ended.recv().await;
            self.is_due = true;
        }
        sleep_until(self.reaped_at + REAPED_EVERY).await;
        self.is_due = false;
        self.reaped_at = Instant::now();
    }
}

impl Group {
    /// Starts the command. `others` are children of ours that are none of its. A variable of
    /// `environment` without a value is removed.
    pub(super) fn spawn(
        command: &[OsString],
        mark: &str,
        environment: Vec<(&'static str, Option<String>)>,
        others: Vec<Pid>,
    ) -> Result<Self, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::new(Exit::Usage, "no command to run"));
        };
        let ended = unix::signal(SignalKind::child()).map_err(|error| {
            Failure::new(Exit::Os, format!("failed to listen for ended children: {error}"))
        })?;
        family::adopt_orphans();
        let mut prepared = Command::new(program);
        prepared.args(arguments).process_group(0).env(MARKS, marks(mark));
        for (name, value) in environment {
            match value {
                Some(value) => prepared.env(name, value),
                None => prepared.env_remove(name),
            };
        }
        if crate::argv::address_is_secret() {
            prepared.env_remove(crate::argv::REDIS);
        }
        let child = prepared.spawn().map_err(|error| {
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
        let tree = Tree { spared: others.clone() };
        let family = Family { group: Some(group), tree: Some(tree), mark: None };
        let orphans = Orphans { ended, is_due: false, reaped_at: Instant::now() };
        let terminal = Terminal::give_to(group);
        Ok(Self {
            child,
            group,
            family,
            others,
            kill_at: None,
            is_killed: false,
            orphans,
            terminal,
        })
    }

    pub(super) fn id(&self) -> Pid {
        self.group
    }

    /// The warden is a child of ours too.
    pub(super) fn spare(&mut self, warden: Option<Pid>) {
        let spared = self.others.iter().copied().chain(warden).collect();
        self.family.tree = Some(Tree { spared });
    }

    pub(super) fn pass_on(&self, signal: Signal) {
        if let Err(error) = killpg(self.group, signal)
            && error != Errno::ESRCH
        {
            output::say(&format!("failed to send {signal} to the command: {error}"));
        }
    }

    /// SIGTERM now and SIGKILL then.
    pub(super) fn terminate(&mut self, kill_at: Instant) {
        if let Err(error) = self.family.terminate() {
            output::say(&format!("failed to send SIGTERM to the command: {error}"));
        }
        self.kill_at(kill_at);
    }

    pub(super) fn kill_at(&mut self, at: Instant) {
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn kill(&mut self) {
        if let Err(error) = self.family.signal(Signal::SIGKILL) {
            output::say(&format!("failed to kill the command: {error}"));
        }
        self.is_killed = true;
    }

    /// Waits for the command itself to end; kills all of it when its time is up.
    pub(super) async fn wait(&mut self) -> Result<u8, Failure> {
        loop {
            let kill_at = self.kill_at.filter(|_| !self.is_killed);
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    let status = status
                        .map_err(|error| Failure::new(Exit::Os, format!("failed to wait for the command: {error}")))?;
                    self.terminal = None;
                    return Ok(code_of(status));
                }
                () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                    self.kill();
                }
                () = self.orphans.due() => self.family.reap(),
            }
        }
    }

    /// D29: what the command left running is ended before the lock is given back, in its group or
    /// out of it.
    pub(super) async fn end_leftovers(&mut self, grace: Duration) {
        if self.is_empty() {
            return;
        }
        output::say("the command has left processes behind, ending them");
        self.terminate(Instant::now() + grace);
        let mut killed_at: Option<Instant> = None;
        while !self.is_empty() {
            let now = Instant::now();
            if self.kill_at.is_some_and(|at| now >= at) {
                // Again and again: what is being started at that moment is not seen.
                self.kill();
                if now >= *killed_at.get_or_insert(now) + KILLED_WITHIN {
                    output::say("some of the command's processes cannot be ended");
                    return;
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn is_empty(&self) -> bool {
        self.family.reap();
        self.family.is_empty()
    }
}

/// A run within a run belongs to both.
fn marks(mark: &str) -> OsString {
    match std::env::var_os(MARKS) {
        Some(mut marks) if !marks.is_empty() => {
            marks.push(",");
            marks.push(mark);
            marks
        }
        _ => OsString::from(mark),
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(Exit::No as u8)
}

/// The terminal belongs to the command while it runs, so that it can read from it and Ctrl-C goes
/// to it.
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
        // It may have been stopped for reading before the terminal was its own; a group that has
        // ended needs nothing.
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
