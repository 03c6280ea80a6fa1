//! Waits for its `leasehold run` to die without a word, or to be stopped while the lock runs out, and then ends the
//! command that would run on without its lock.

use crate::exit::Failure;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct WardenArgs {
    #[arg(long)]
    grace_ms: u64,
}

/// What the run said last: which group, and for how long it may be silent.
#[derive(Clone, Copy)]
struct Report {
    group: Pid,
    silent_until: Option<Instant>,
}

/// Reads reports from stdin until they end or stay away. A run that ends in order kills its warden first.
pub(crate) fn warden(args: &WardenArgs) -> Result<ExitCode, Failure> {
    if let Some(group) = wait_for_silence(&reports()) {
        end(group, Duration::from_millis(args.grace_ms));
    }
    Ok(ExitCode::SUCCESS)
}

fn reports() -> Receiver<Report> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let Some(report) = read(&line) else { continue };
            if sender.send(report).is_err() {
                return;
            }
        }
    });
    receiver
}

fn read(line: &str) -> Option<Report> {
    let (group, left_ms) = line.split_once(' ')?;
    let left = left_ms.parse().ok().map(Duration::from_millis);
    Some(Report {
        group: Pid::from_raw(group.parse().ok()?),
        silent_until: left.map(|left| Instant::now() + left),
    })
}

fn wait_for_silence(reports: &Receiver<Report>) -> Option<Pid> {
    let mut last: Option<Report> = None;
    loop {
        let next = match last.and_then(|report| report.silent_until) {
            Some(until) => reports.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => reports.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(report) => last = Some(report),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return last.map(|report| report.group);
            }
        }
    }
}

fn end(group: Pid, grace: Duration) {
    // Where the group is gone, this fails and there is nothing to do.
    if killpg(group, Signal::SIGTERM).is_err() {
        return;
    }
    // A stopped process would not see the SIGTERM; a failure here means that the group has ended.
    let _ = killpg(group, Signal::SIGCONT);
    let kill_at = Instant::now() + grace;
    while killpg(group, None).is_ok() {
        if Instant::now() >= kill_at {
            let _ = killpg(group, Signal::SIGKILL);
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
