//! Evidence that a holder is gone.
//!
//! A client that cannot renew holds a lease without a deadline. After its crash, the slots would
//! stay taken for good (defect D07). Such a lease ends on evidence:
//!
//! - Its run is over, or a run around it is. The client reports that, or the process that watches
//!   it. The holder's own release comes first: a lease is repossessed only after a grace period.
//! - Its flow run sent heartbeats, and has been silent for too long.
//! - An operator deletes the run.
//!
//! No holder counts as gone because *this server* was away. After a start, and after a time in
//! which this process did not run, every flow run has its whole time again. The records show which
//! runs belong together. A holder that is in no record is left alone.

mod holders;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use leasehold_engine::{Holder, Span, Timestamp};
use leasehold_node::{Clock, Handle, Unavailable};
use leasehold_records::RunKind;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::records::Recorder;

/// How many observations may wait. Beyond, a report of another one waits for room.
const QUEUE_MAX: usize = 8_192;
/// How long after a run's end its leases are repossessed. The client releases them itself at about
/// the time at which it reports the end.
pub(crate) const GRACE: Span = Span::from_seconds(5);
/// How often all holders are checked, even if nothing is reported.
const SWEEP_PERIOD: Span = Span::from_seconds(60);
/// A watch that wakes up later than this did not run meanwhile.
const LATE: Span = Span::from_seconds(5);
/// How long after a failure the watch tries again.
const RETRY: Span = Span::from_seconds(1);

/// Reports observations to the watch.
#[derive(Clone, Debug)]
pub struct Witness {
    signs: mpsc::Sender<Sign>,
}

/// The task that watches, while it runs.
#[derive(Debug)]
pub struct Watch {
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Sign {
    /// A run is over, in a state of this name.
    Over(RunKind, Uuid, String),
    /// A flow run sent a heartbeat.
    Heartbeat(Uuid),
    /// An event named a flow run, which may or may not send heartbeats.
    Heard(Uuid),
}

struct Watcher {
    ledger: Handle,
    recorder: Recorder,
    clock: Clock,
    /// How long a flow run that sends heartbeats may be silent.
    silence_max: Span,
    /// For each flow run that sends heartbeats: when it will have been silent for too long.
    hearts: HashMap<Uuid, Timestamp>,
    /// Those of them that were reported as over.
    said_over: Vec<Uuid>,
    /// The states of task runs that were reported as over, by when their leases are repossessed.
    over: BTreeMap<(Timestamp, Uuid), String>,
    /// When all holders are checked again. Each time is a whole second.
    sweeps: BTreeSet<Timestamp>,
}

/// The next whole second after `at`: all times within one second become one sweep.
fn whole_second(at: Timestamp) -> Timestamp {
    const SECOND_MICROS: i64 = 1_000_000;
    let seconds = at.as_micros().div_euclid(SECOND_MICROS) + 1;
    Timestamp::from_micros(seconds.saturating_mul(SECOND_MICROS))
}

impl Witness {
    /// Starts the watch. It ends when the last witness is dropped.
    pub fn start(ledger: Handle, recorder: Recorder, silence_max: Span) -> (Self, Watch) {
        let (signs, seen) = mpsc::channel(QUEUE_MAX);
        let clock = ledger.clock().clone();
        let watcher = Watcher {
            // By then, runs that were over when the server stopped have had their grace.
            sweeps: BTreeSet::from([whole_second(clock.now() + GRACE)]),
            ledger,
            recorder,
            clock,
            silence_max,
            hearts: HashMap::new(),
            said_over: Vec::new(),
            over: BTreeMap::new(),
        };
        (Self { signs }, Watch { task: tokio::spawn(watcher.run(seen)) })
    }

    /// Reports that a run is over, in a state of this name.
    pub(crate) async fn over(&self, kind: RunKind, run: Uuid, state: &str) {
        self.tell(Sign::Over(kind, run, state.to_owned())).await;
    }

    /// Reports a heartbeat of a flow run.
    pub(crate) async fn heartbeat(&self, flow_run: Uuid) {
        self.tell(Sign::Heartbeat(flow_run)).await;
    }

    /// Reports that an event named a flow run.
    pub(crate) async fn heard(&self, flow_run: Uuid) {
        self.tell(Sign::Heard(flow_run)).await;
    }

    async fn tell(&self, sign: Sign) {
        // Without a watch, the server is stopping. The sweep of its next start finds what is missed
        // here.
        let _ = self.signs.send(sign).await;
    }
}

impl Watch {
    /// Stops watching.
    pub fn stop(self) {
        self.task.abort();
    }
}

impl Watcher {
    async fn run(mut self, mut seen: mpsc::Receiver<Sign>) {
        self.remember_hearts().await;
        loop {
            let due = self.next_due();
            tokio::select! {
                biased;
                sign = seen.recv() => match sign {
                    Some(sign) => self.note(sign),
                    None => return,
                },
                () = self.clock.sleep_until(Some(due)) => self.act(due).await,
            }
        }
    }

    /// After a start, every flow run that sent heartbeats before has its whole time again.
    async fn remember_hearts(&mut self) {
        let alive = self.recorder.write(|records| {
            let runs = records.runs_with_heartbeat()?;
            Ok(runs.into_iter().map(|run| run.id).collect::<Vec<_>>())
        });
        let Ok(alive) = alive.await else { return };
        let until = self.clock.now() + self.silence_max;
        self.hearts.extend(alive.into_iter().map(|flow_run| (flow_run, until)));
    }

    fn note(&mut self, sign: Sign) {
        let now = self.clock.now();
        match sign {
            Sign::Heartbeat(flow_run) => {
                self.hearts.insert(flow_run, now + self.silence_max);
            }
            Sign::Heard(flow_run) => {
                if let Some(until) = self.hearts.get_mut(&flow_run) {
                    *until = now + self.silence_max;
                }
            }
            Sign::Over(RunKind::TaskRun, run, state) => {
                self.over.insert((now + GRACE, run), state);
            }
            Sign::Over(RunKind::FlowRun, run, _) => {
                // The report may be wrong, or late. The sweep decides by the record.
                if let Some(until) = self.hearts.get_mut(&run) {
                    *until = now + self.silence_max;
                    self.said_over.push(run);
                }
                self.sweeps.insert(whole_second(now + GRACE));
            }
        }
    }

    fn next_due(&self) -> Timestamp {
        let over = self.over.first_key_value().map(|((at, _), _)| *at);
        let silent = self.hearts.values().min().copied();
        let sweep = self.sweeps.first().copied();
        let due = [over, silent, sweep].into_iter().flatten().min();
        due.unwrap_or_else(|| self.clock.now() + SWEEP_PERIOD)
    }

    async fn act(&mut self, due: Timestamp) {
        let now = self.clock.now();
        if now.since(due) > LATE {
            // The server received no heartbeats meanwhile.
            let until = now + self.silence_max;
            self.hearts.values_mut().for_each(|heart| *heart = until);
        }
        let later = self.over.split_off(&(now + Span::from_micros(1), Uuid::nil()));
        let mut due = std::mem::replace(&mut self.over, later);
        if self.end_task_runs(now, &mut due).await.is_err() {
            let again = due.into_iter().map(|((_, run), state)| ((now + RETRY, run), state));
            self.over.extend(again);
            return;
        }
        let silent: Vec<_> = self
            .hearts
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(flow_run, _)| *flow_run)
            .collect();
        if silent.is_empty() && self.sweeps.first().is_none_or(|sweep| *sweep > now) {
            return;
        }
        match self.sweep(now, &silent).await {
            Ok(over) => {
                self.said_over.clear();
                for flow_run in over {
                    self.hearts.remove(&flow_run);
                }
                for flow_run in silent {
                    self.hearts.remove(&flow_run);
                }
                self.sweeps.retain(|sweep| *sweep > now);
                if self.sweeps.is_empty() {
                    self.sweeps.insert(whole_second(now + SWEEP_PERIOD));
                }
            }
            Err(_) => {
                // Their time has passed. Unless it moves, the watch spins until a sweep succeeds.
                for flow_run in silent {
                    self.hearts.insert(flow_run, now + RETRY);
                }
                self.sweeps.retain(|sweep| *sweep > now);
                self.sweeps.insert(whole_second(now + RETRY));
            }
        }
    }

    /// Repossesses the leases of task runs in `due` that are still over after their grace. A failed
    /// task may run again, and no sign reports that. Removes the runs that are done from `due`.
    async fn end_task_runs(
        &self,
        now: Timestamp,
        due: &mut BTreeMap<(Timestamp, Uuid), String>,
    ) -> Result<(), Unavailable> {
        if due.is_empty() {
            return Ok(());
        }
        let runs: Vec<_> = due.keys().map(|(_, run)| *run).collect();
        let over_before_micros = (now - GRACE).as_micros();
        let alive =
            self.recorder.write(move |records| holders::alive(records, runs, over_before_micros));
        let alive = alive.await?;
        while let Some(((at, run), state)) = due.pop_first() {
            if alive.contains(&run) {
                continue;
            }
            let holder = Holder::new(RunKind::TaskRun.as_str(), run.to_string());
            let evidence = holders::run_is_over(RunKind::TaskRun, run, &state);
            if let Err(error) = repossess(&self.ledger, holder, true, evidence).await {
                due.insert((at, run), state);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Checks all holders of leases, and repossesses the leases of those that are gone. Returns the
    /// flow runs in `said_over` that are over.
    async fn sweep(&self, now: Timestamp, silent: &[Uuid]) -> Result<Vec<Uuid>, Unavailable> {
        let holders = self.ledger.holders().await?;
        if holders.is_empty() && self.said_over.is_empty() {
            return Ok(Vec::new());
        }
        let alive = self.hearts.iter().filter(|(_, until)| **until > now);
        let known = holders::Known {
            silent: silent.iter().copied().collect(),
            alive: alive.map(|(flow_run, _)| *flow_run).collect(),
            over_before_micros: (now - GRACE).as_micros(),
            quiet_before_micros: (now - self.silence_max.max(GRACE)).as_micros(),
        };
        let said_over = self.said_over.clone();
        let read = self.recorder.write(move |records| {
            Ok((holders::over(records, said_over)?, known.gone(records, holders)?))
        });
        let (over, gone) = read.await?;
        for holders::Gone { holder, evidence, is_own_end } in gone {
            repossess(&self.ledger, holder, is_own_end, evidence).await?;
        }
        Ok(over)
    }
}

/// Repossesses the leases without a deadline of the runs in `within`, because an operator deletes
/// the run that contains them. A holder that renews its leases lives, whatever becomes of its
/// record.
pub(crate) async fn deleted(
    ledger: &Handle,
    (kind, id): (RunKind, Uuid),
    within: &HashSet<(RunKind, Uuid)>,
) -> Result<(), Unavailable> {
    for holder in ledger.holders().await? {
        if holders::run_of(&holder).is_some_and(|run| within.contains(&run)) {
            repossess(ledger, holder, false, holders::run_is_deleted(kind, id)).await?;
        }
    }
    Ok(())
}

/// Repossesses the leases of a holder; those with a deadline only if `with_deadline`. They end with
/// their holder's own run, and on no other evidence.
async fn repossess(
    ledger: &Handle,
    holder: Holder,
    with_deadline: bool,
    evidence: String,
) -> Result<(), Unavailable> {
    let leases = ledger.repossess(holder.clone(), with_deadline, evidence.as_str().into()).await?;
    if !leases.is_empty() {
        let (kind, id, count) = (&holder.kind, &holder.id, leases.len());
        tracing::info!(%kind, %id, count, evidence, "leases repossessed");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
