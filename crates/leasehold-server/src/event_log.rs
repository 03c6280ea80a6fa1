//! The log of events: what happened to limits and leases, and what clients report of their runs,
//! each with time, limit, holder and reason.
//!
//! It is written behind the journal: a change is durable before its event is logged, and neither a
//! grant nor a client waits for the log. Events that come faster than the budget or the disk allows
//! are dropped and counted, and an event of the log itself reports how many.

mod budget;
mod catch_up;
pub(crate) mod client_event;
mod client_events;
pub(crate) mod convert;
mod follower;
mod prefect_events;
mod tail;
mod words;
mod writer;

use std::sync::Arc;

use leasehold_engine::{Event, Holder, Origin};
use leasehold_node::{Handle, Unavailable};
use leasehold_records::{EventFilter, EventPage, EventRow};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::budget::Budget;
pub(crate) use self::catch_up::catch_up;
use self::client_events::ClientEvents;
pub(crate) use self::client_events::ClientRow;
pub(crate) use self::follower::{FOLLOWED_BYTES_MAX, Follower};
use self::tail::Tail;
pub(crate) use self::tail::{Entry, RenderedEvent};
use self::writer::{Inbox, LogWriter, Newest};
use crate::ids;
use crate::records::Recorder;

/// How many readers may wait at once until the events before them are written.
const FLUSHES_MAX: usize = 64;

/// Reaches the log.
#[derive(Clone, Debug)]
pub struct EventLog {
    recorder: Recorder,
    client_events: ClientEvents,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    /// The number of the last event that is durable.
    latest: watch::Receiver<u64>,
    /// The newest events.
    tail: Arc<Tail>,
    stage: watch::Receiver<Stage>,
}

/// The task that writes the log, while it runs.
#[derive(Debug)]
pub struct LogTask {
    stage: watch::Sender<Stage>,
    task: JoinHandle<()>,
}

/// How far the server has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    /// Subscribers get no more events.
    Closing,
    /// The ledger has stopped.
    Ended,
}

impl EventLog {
    /// Subscribes to a ledger and logs its events: at most `events_per_second_max` routine events a
    /// second, or all of them if it is 0.
    pub fn start(
        ledger: &Handle,
        recorder: Recorder,
        events_per_second_max: u32,
    ) -> (Self, LogTask) {
        let (client_events, from_clients) = client_events::channel();
        let (flushes, to_flush) = mpsc::channel(FLUSHES_MAX);
        let (latest, seen) = watch::channel(0);
        let tail = Arc::<Tail>::default();
        let (stage, stages) = watch::channel(Stage::Running);
        let budget = Budget::new(events_per_second_max);
        let clock = ledger.clock().clone();
        let newest = Newest { tail: tail.clone(), latest };
        let writer = LogWriter::new(recorder.clone(), clock, budget, newest);
        let inbox = Inbox {
            from_ledger: ledger.subscribe(),
            from_clients,
            flushes: to_flush,
            stage: stages.clone(),
        };
        let task = tokio::spawn(writer.run(inbox));
        let log = Self { recorder, client_events, flushes, latest: seen, tail, stage: stages };
        (log, LogTask { stage, task })
    }

    /// Logs an event that a client sent. Never waits.
    pub(crate) fn note(&self, event: ClientRow) {
        self.client_events.note(event);
    }

    /// Logs an event of the server itself. Never waits.
    pub(crate) fn note_ours(&self, event: EventRow) {
        self.client_events.note(ClientRow::ours(event));
    }

    /// Follows the log behind `filter.after` until the server closes its streams.
    pub(crate) fn follow(&self, filter: EventFilter) -> Follower {
        Follower::new(self.clone(), filter)
    }

    /// The events that pass a filter, in its order: all that happened before the call.
    pub(crate) async fn find(&self, filter: EventFilter) -> Result<EventPage, Unavailable> {
        self.flush().await;
        self.read(filter).await
    }

    /// The number of the last event in the log.
    pub(crate) async fn last(&self) -> Result<u64, Unavailable> {
        self.flush().await;
        let read = self.recorder.write(|records| {
            let last = records.last_event()?;
            Ok(last)
        });
        read.await
    }

    async fn read(&self, filter: EventFilter) -> Result<EventPage, Unavailable> {
        self.recorder.write(move |records| records.events(&filter)).await
    }

    /// Waits until all events so far are written.
    async fn flush(&self) {
        let (reply, flushed) = oneshot::channel();
        // A writer that has ended has nothing left to write.
        if self.flushes.send(reply).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

impl LogTask {
    /// Returns a function that ends the streams of all subscribers.
    pub(crate) fn closer(&self) -> impl FnOnce() + Send + use<> {
        let stage = self.stage.clone();
        move || _ = stage.send_replace(Stage::Closing)
    }

    /// Waits until all events are written. The ledger has stopped before.
    pub async fn stop(self) {
        self.stage.send_replace(Stage::Ended);
        if self.task.await.is_err() {
            tracing::error!("the writer of events has panicked");
        }
    }
}

/// The rows of an event: one for each limit, and the event of a Prefect server.
fn events(event: &Event) -> Vec<EventRow> {
    let (kind, reason) = words::kind_and_reason(&event.kind);
    let origin = event.origin.as_deref().and_then(origin);
    let at_micros = event.at.as_micros();
    let row = |limit: Option<String>| EventRow {
        limit,
        holder: event.holder.as_ref().map(holder),
        lease: event.lease.map(|lease| Uuid::from_u128(lease.0)),
        origin: origin.clone(),
        reason: reason.clone(),
        ..EventRow::new(ids::at(at_micros), kind, at_micros)
    };
    if event.limits.is_empty() {
        return vec![row(None)];
    }
    let ours = event.limits.iter().map(|name| row(Some(name.to_string())));
    ours.chain(prefect_events::event(event)).collect()
}

/// The kind and the id of a holder.
pub(crate) fn holder(holder: &Holder) -> (String, String) {
    (holder.kind.to_string(), holder.id.to_string())
}

/// The origin of a request, as the log stores it.
pub(crate) fn origin(origin: &Origin) -> Option<String> {
    serde_json::to_string(&convert::origin(origin)).ok()
}

/// An event of the log itself: why other events are not in it.
fn dropped(reason: String, at_micros: i64) -> EventRow {
    EventRow { reason: Some(reason), ..EventRow::new(ids::at(at_micros), "log.dropped", at_micros) }
}
