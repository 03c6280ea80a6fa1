//! How long a slot stands idle between two holders, with a long queue.
//!
//! The waiters are clients that poll, as Prefect's do: the server refuses the first attempt at
//! once, and holds the next one open in a queue. Each client comes back after its turn, so that the
//! queue keeps its length.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Client, Lease, acquire_body_of};
use crate::load::Times;
use crate::report::{Report, Target, progress};
use crate::systems::{Server, leasehold_with};
use crate::table::{Table, fine};

/// Lets waiters stay in the queue for as long as possible.
pub(crate) const PATIENT: &[&str] = &["--park-seconds", "55"];
/// The limit whose one slot is handed along the queue.
const LIMIT: &str = "line";
/// How many clients join the queue at a time. The server refuses the first attempt of each at once.
const JOIN_AT_ONCE: usize = 64;
/// How long a queue may take to form, or a slot to reach the next waiter.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many clients wait for the one slot.
    #[arg(long, default_value_t = 1_000)]
    waiters: usize,
    /// How often the slot changes hands.
    #[arg(long, default_value_t = 1_000)]
    handoffs: usize,
    /// How long each holds the slot, in milliseconds.
    #[arg(long, default_value_t = 5)]
    hold_ms: u64,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Handoff {
    waiters: usize,
    handoffs: usize,
    /// From when the holder sends its release until the next waiter has its grant.
    pub(crate) from_release: Quantiles,
    /// From when the holder has the answer to its release; 0 if the grant came first.
    from_answer: Quantiles,
}

/// Times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

pub(crate) async fn measure(args: &Args) -> anyhow::Result<Handoff> {
    let server = leasehold_with(PATIENT).await?;
    progress(format_args!("{} waiters for one slot", args.waiters));
    let queue = Queue::form(&server, args.waiters, Duration::from_millis(args.hold_ms)).await?;
    queue.hand_along(args.handoffs).await
}

/// A limit with one slot that is held, and the clients that wait for it. Dropping this makes them
/// leave.
pub(crate) struct Queue {
    waiters: usize,
    holder: Member,
    held: Lease,
    members: JoinSet<()>,
    turns: UnboundedReceiver<anyhow::Result<Turn>>,
}

impl Queue {
    /// Creates the limit on a server with the options [`PATIENT`], and lets all clients join.
    pub(crate) async fn form(
        server: &Server,
        waiters: usize,
        hold: Duration,
    ) -> anyhow::Result<Self> {
        ensure!(waiters > 0, "there have to be waiters: --waiters is 0");
        server.client().await?.create_limit(LIMIT, 1, 0.0).await?;
        let joining = Arc::new(Semaphore::new(JOIN_AT_ONCE));
        let (report, turns) = mpsc::unbounded_channel();
        let member = async |number| {
            let client = server.client().await?;
            let (joining, report) = (joining.clone(), report.clone());
            anyhow::Ok(Member {
                client,
                body: acquire_body_of(number, LIMIT),
                hold,
                joining,
                report,
            })
        };
        let mut holder = member(0).await?;
        let held = holder.client.acquire(&holder.body).await?;
        let mut members = JoinSet::new();
        for number in 1..=waiters {
            members.spawn(member(number).await?.take_turns());
        }
        let start = Instant::now();
        let mut client = server.client().await?;
        while !client.has_waiters(LIMIT, waiters).await? {
            ensure!(start.elapsed() < TIMEOUT, "{waiters} waiters do not join the queue");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { waiters, holder, held, members, turns })
    }

    /// Hands the slot along. Each client that had it joins the queue again.
    pub(crate) async fn hand_along(mut self, handoffs: usize) -> anyhow::Result<Handoff> {
        ensure!(handoffs > 0, "the slot has to change hands: --handoffs is 0");
        self.holder.client.release(&self.held).await?;
        self.members.spawn(self.holder.take_turns());
        let mut turns = Vec::with_capacity(handoffs + 1);
        while turns.len() <= handoffs {
            let turn = timeout(TIMEOUT, self.turns.recv())
                .await
                .with_context(|| format!("after {} turns the slot went no further", turns.len()))?;
            turns.push(turn.context("all clients left the queue")??);
        }
        summary(self.waiters, &mut turns)
    }
}

/// One turn with the slot.
#[derive(Clone, Copy, Debug)]
struct Turn {
    granted: Instant,
    release_sent: Instant,
    release_answered: Instant,
}

/// A client that waits for the slot again and again.
struct Member {
    client: Client,
    body: Bytes,
    hold: Duration,
    joining: Arc<Semaphore>,
    report: UnboundedSender<anyhow::Result<Turn>>,
}

impl Member {
    async fn take_turns(mut self) {
        loop {
            let turn = self.turn().await;
            let is_last = turn.is_err();
            if self.report.send(turn).is_err() || is_last {
                return;
            }
        }
    }

    /// Waits for the slot, holds it, and releases it.
    async fn turn(&mut self) -> anyhow::Result<Turn> {
        let joining = self.joining.acquire().await?;
        let mut granted = self.client.try_acquire(&self.body).await?;
        drop(joining);
        let lease = loop {
            match granted {
                Some(lease) => break lease,
                None => {
                    self.client.sleep_as_asked().await;
                    granted = self.client.try_acquire(&self.body).await?;
                }
            }
        };
        let granted = Instant::now();
        tokio::time::sleep(self.hold).await;
        let release_sent = Instant::now();
        self.client.release(&lease).await?;
        Ok(Turn { granted, release_sent, release_answered: Instant::now() })
    }
}

/// The times between each turn and the next.
fn summary(waiters: usize, turns: &mut [Turn]) -> anyhow::Result<Handoff> {
    turns.sort_unstable_by_key(|turn| turn.granted);
    let (mut from_release, mut from_answer) = (Times::new()?, Times::new()?);
    for pair in turns.windows(2) {
        let [holder, next] = pair else { continue };
        from_release.record(next.granted.saturating_duration_since(holder.release_sent))?;
        from_answer.record(next.granted.saturating_duration_since(holder.release_answered))?;
    }
    Ok(Handoff {
        waiters,
        handoffs: turns.len().saturating_sub(1),
        from_release: Quantiles::of(&from_release),
        from_answer: Quantiles::of(&from_answer),
    })
}

impl Quantiles {
    fn of(times: &Times) -> Self {
        Self { p50_ms: times.ms(0.50), p99_ms: times.ms(0.99), max_ms: times.ms(1.0) }
    }
}

impl Report for Handoff {
    fn tables(&self) -> Vec<Table> {
        let title = format!("Hand-off of one slot, {} waiters", self.waiters);
        let mut table = Table::new(title, &["until the next has it", "p50 ms", "p99 ms", "max ms"]);
        for (from, times) in [
            ("from when its release is sent", &self.from_release),
            ("from when its release is answered", &self.from_answer),
        ] {
            let Quantiles { p50_ms, p99_ms, max_ms } = times;
            table.row([from.to_owned(), fine(*p50_ms), fine(*p99_ms), fine(*max_ms)]);
        }
        table.note(format!(
            "{} hand-offs; both the release and the grant are durable.",
            self.handoffs
        ));
        vec![table]
    }

    fn targets(&self) -> Vec<Target> {
        let Quantiles { p50_ms, p99_ms, .. } = self.from_release;
        vec![
            Target::at_most("hand-off, median in ms", p50_ms, 1.0),
            Target::at_most("hand-off, p99 in ms", p99_ms, 5.0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_off_is_the_time_from_a_release_to_the_next_grant() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let turn = |granted, sent, answered| Turn {
            granted: at(granted),
            release_sent: at(sent),
            release_answered: at(answered),
        };
        // Reported in another order than they happened. The last grant comes before the answer.
        let mut turns = [turn(22, 30, 31), turn(10, 20, 21), turn(34, 40, 41), turn(0, 5, 6)];
        turns[2].granted = at(30);
        let found = summary(3, &mut turns).unwrap();
        assert_eq!(found.handoffs, 3);
        assert!((found.from_release.max_ms - 5.0).abs() < 0.01);
        assert!((found.from_release.p50_ms - 2.0).abs() < 0.01);
        assert!((found.from_answer.max_ms - 4.0).abs() < 0.01);
    }
}
