//! The run's side of its warden: it starts it before the command, reports until when the lock is
//! held, and replaces it when it ends.

use std::fs::File;
use std::io::{self, Write};
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

use super::warden;
use crate::exit::{Exit, Failure};
use crate::output;

/// So soon a warden that has ended is replaced at the earliest, counted from its own start.
const REPLACED_AFTER: Duration = Duration::from_millis(500);

/// What a warden has to know from the start.
pub(super) struct Orders {
    /// Between SIGTERM and SIGKILL.
    pub(super) grace: Duration,
    /// What the command's processes have inherited.
    pub(super) mark: String,
}

/// A process that outlives us. It ends the command's processes when our reports stay away: because
/// we were killed, or are stopped while the lock expires. D29.
pub(super) struct Keeper {
    orders: Orders,
    warden: Option<Warden>,
    started_at: Instant,
    /// The last report, for its successor.
    last: Option<(Pid, Option<Instant>)>,
}

struct Warden {
    process: Child,
    id: Option<Pid>,
    stdin: File,
}

impl Keeper {
    pub(super) fn start(orders: Orders) -> Result<Self, Failure> {
        let warden = Warden::spawn(&orders).map_err(|error| {
            Failure::new(
                Exit::Os,
                format!("failed to start the process that ends the command if leasehold is killed: {error}"),
            )
        })?;
        Ok(Self { orders, warden: Some(warden), started_at: Instant::now(), last: None })
    }

    /// Its process id, while it runs.
    pub(super) fn id(&self) -> Option<Pid> {
        self.warden.as_ref().and_then(|warden| warden.id)
    }

    /// The warden ends the group if no other report comes until then; with `None`, when we end.
    pub(super) fn report(&mut self, group: Pid, until: Option<Instant>) {
        self.last = Some((group, until));
        if let Some(warden) = &mut self.warden {
            let until_ms = until.map_or_else(|| "-".to_owned(), |until| ms_of(until).to_string());
            // The warden takes a report that it misses for silence, and acts.
            let _ = warden.stdin.write_all(format!("{group} {until_ms}\n").as_bytes());
        }
    }

    /// Resolves when the warden has ended and it is time for another one.
    pub(super) async fn ended(&mut self) {
        if let Some(warden) = &mut self.warden {
            // That it cannot be waited for means that it is not there.
            let _ = warden.process.wait().await;
            self.warden = None;
        }
        sleep_until(self.started_at + REPLACED_AFTER).await;
    }

    /// Starts another warden, which knows what the one before it knew.
    pub(super) fn replace(&mut self) {
        self.started_at = Instant::now();
        match Warden::spawn(&self.orders) {
            Ok(warden) => {
                self.warden = Some(warden);
                output::say("the warden has ended; another one watches now");
                if let Some((group, until)) = self.last {
                    self.report(group, until);
                }
            }
            Err(error) => {
                output::say(&format!("the warden has ended and cannot be replaced yet: {error}"));
            }
        }
    }
}

impl Warden {
    fn spawn(orders: &Orders) -> io::Result<Self> {
        let mut command = Command::new(crate::argv::this_program());
        command
            .arg0("leasehold")
            .args(["warden", "--grace-ms", &orders.grace.as_millis().to_string()])
            .args(["--mark", &orders.mark])
            .env_remove(crate::argv::REDIS)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut process = command.spawn()?;
        let id = process.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let stdin = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stdin = File::from(stdin.into_owned_fd()?);
        // A full pipe means that the warden does not run, and we are not to hang on it.
        fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { process, id, stdin })
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // Before it can see that nothing more will come. Where it has ended already, there is
        // nothing to do.
        let _ = self.process.start_kill();
    }
}

/// A moment by the clock that the warden reads too. That clock is read first: standing still in
/// between makes it no later.
fn ms_of(moment: Instant) -> u64 {
    let now_ms = warden::now_ms();
    let now = Instant::now();
    let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let left = ms(moment.saturating_duration_since(now));
    now_ms.saturating_add(left).saturating_sub(ms(now.saturating_duration_since(moment)))
}
