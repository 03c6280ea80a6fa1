//! Waits for its `leasehold run` to die without a word, and then ends the command that would run on without its lock.

use crate::exit::Failure;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::BufRead;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct WardenArgs {
    #[arg(long)]
    grace_ms: u64,
}

/// Reads the group's id from stdin, then waits for the end of stdin. A run that ends in order kills its warden first.
pub(crate) fn warden(args: &WardenArgs) -> Result<ExitCode, Failure> {
    let mut lines = std::io::stdin().lock().lines();
    let Some(Ok(line)) = lines.next() else { return Ok(ExitCode::SUCCESS) };
    let Ok(group) = line.parse::<i32>().map(Pid::from_raw) else { return Ok(ExitCode::SUCCESS) };
    while let Some(Ok(_)) = lines.next() {}
    // Where the group is gone, the first of these fails and there is nothing to do.
    if killpg(group, Signal::SIGTERM).is_ok() {
        let _ = killpg(group, Signal::SIGCONT);
        let kill_at = Instant::now() + Duration::from_millis(args.grace_ms);
        while killpg(group, None).is_ok() {
            if Instant::now() >= kill_at {
                let _ = killpg(group, Signal::SIGKILL);
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(ExitCode::SUCCESS)
}
