//! Waits for its `leasehold run` to die without a release, or to be stopped while the lock expires,
//! and then ends the command that would run on without its lock.

use std::io::BufRead;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::family::Family;
use crate::exit::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct WardenArgs {
    #[arg(long)]
    grace_ms: u64,

    /// What the command's processes have in a variable.
    #[arg(long)]
    mark: String,
}

/// Now, in ms, by the clock that all processes of this machine share and that no one sets. A report
/// says until when, and not for how long: a warden that reads it late must not count from then.
pub(super) fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// What the run said last: which group, and until when it may be silent.
#[derive(Clone, Copy)]
struct Report {
    group: Pid,
    silent_until: Option<Instant>,
}

/// Reads reports from stdin until they end or stay away. A run that ends in order kills its warden
/// first.
pub(crate) fn warden(args: &WardenArgs) -> Result<ExitCode, Failure> {
    let (group, since) = wait_for_silence(&reports());
    // Descent proves nothing here: the run may be gone, and its parent's other
    // children are none of ours.
    let family = Family { group, tree: None, mark: Some(args.mark.clone()) };
    end(&family, since + Duration::from_millis(args.grace_ms));
    Ok(ExitCode::SUCCESS)
}

fn reports() -> Receiver<Report> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let Some(report) = read(&line, now_ms(), Instant::now()) else { continue };
            if sender.send(report).is_err() {
                return;
            }
        }
    });
    receiver
}

fn read(line: &str, now_ms: u64, now: Instant) -> Option<Report> {
    let (group, until_ms) = line.split_once(' ')?;
    let until_ms: Option<u64> = until_ms.parse().ok();
    let silent_until = until_ms.and_then(|until_ms| {
        let left = Duration::from_millis(until_ms.saturating_sub(now_ms));
        let over = Duration::from_millis(now_ms.saturating_sub(until_ms));
        (now + left).checked_sub(over)
    });
    // 0 and 1 would mean this process's own group and all processes.
    let group = group.parse().ok().filter(|group| *group > 1)?;
    Some(Report { group: Pid::from_raw(group), silent_until })
}

/// Which group is to end, and since when: what happened late has so much less of the grace left.
fn wait_for_silence(reports: &Receiver<Report>) -> (Option<Pid>, Instant) {
    let mut last: Option<Report> = None;
    loop {
        let next = match last.and_then(|report| report.silent_until) {
            Some(until) => reports.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => reports.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(report) => last = Some(report),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let now = Instant::now();
                let until = last.and_then(|report| report.silent_until);
                return (last.map(|report| report.group), until.map_or(now, |it| it.min(now)));
            }
        }
    }
}

/// So long what was killed may take to be gone.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

fn end(family: &Family, kill_at: Instant) {
    // A process that cannot be asked to end is killed all the same.
    let _ = family.terminate();
    while !family.is_empty() {
        let now = Instant::now();
        if now >= kill_at {
            let _ = family.signal(Signal::SIGKILL);
            if now >= kill_at + KILLED_WITHIN {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_is_read_late_gives_no_more_time() {
        let now = Instant::now();
        let until = |line: &str, now_ms| read(line, now_ms, now)?.silent_until;
        let second = Duration::from_secs(1);
        assert_eq!(until("7 5000", 4_000), Some(now + second));
        assert_eq!(until("7 5000", 6_000), Some(now - second));
        assert_eq!(until("7 -", 4_000), None);
    }

    #[test]
    fn groups_that_would_mean_other_processes_are_refused() {
        for line in ["0 -", "1 -", "-1 -", "-7 -", " -"] {
            assert!(read(line, 4_000, Instant::now()).is_none(), "{line}");
        }
    }
}
