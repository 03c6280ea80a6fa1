//! The task that writes the log. It gathers events for a moment, so that a busy ledger costs ten
//! writes a second and not one for each of its commits. A reader of the log makes it write at once.

use std::sync::Arc;
use std::time::Duration;

use leasehold_engine::{Event, Span, Timestamp};
use leasehold_node::{Clock, Events};
use leasehold_records::EventRow;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::budget::Budget;
use super::client_events::{EVENT_BYTES_MAX, FromClients};
use super::tail::Tail;
use super::{Stage, events};
use crate::records::Recorder;

/// For how long events are gathered before they are written.
const GATHER_PERIOD: Duration = Duration::from_millis(100);
/// How many events are written at once, about.
const BATCH_MAX: usize = 1_024;
/// How often the log reports how many events were dropped.
const DROPPED_PERIOD: Span = Span::from_seconds(10);

pub(super) struct LogWriter {
    recorder: Recorder,
    clock: Clock,
    budget: Budget,
    newest: Newest,
    dropped: u64,
    /// Events that could not be written.
    unwritten: u64,
    /// Batches of the ledger that this task missed, because the ledger was too far ahead.
    batches_missed: u64,
    /// What the log has reported as dropped.
    reported: Dropped,
    /// What the batch that is being written reports.
    reporting: Option<Dropped>,
    /// When the task last tried to report it.
    reported_at: Timestamp,
}

/// Where durable events are published.
pub(super) struct Newest {
    pub(super) tail: Arc<Tail>,
    /// The number of the last event that is durable.
    pub(super) latest: watch::Sender<u64>,
}

/// What is not in the log, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Dropped {
    events: u64,
    /// Each with an unknown number of events.
    batches: u64,
    /// Events of clients that were too large.
    too_large: u64,
    /// Events that the records refused: the disk was full, or almost.
    unwritten: u64,
}

/// Everything that reaches the writer.
pub(super) struct Inbox {
    pub(super) from_ledger: broadcast::Receiver<Events>,
    pub(super) from_clients: FromClients,
    /// Readers that wait until all events so far are written.
    pub(super) flushes: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) stage: watch::Receiver<Stage>,
}

impl LogWriter {
    pub(super) fn new(recorder: Recorder, clock: Clock, budget: Budget, newest: Newest) -> Self {
        let reported_at = clock.now();
        Self {
            recorder,
            clock,
            budget,
            newest,
            dropped: 0,
            unwritten: 0,
            batches_missed: 0,
            reported: Dropped::default(),
            reporting: None,
            reported_at,
        }
    }

    pub(super) async fn run(mut self, mut inbox: Inbox) {
        let mut batch = Vec::new();
        let mut is_over = false;
        while !is_over {
            let mut flushes = Vec::new();
            // Wait for an event …
            tokio::select! {
                biased;
                happened = inbox.from_ledger.recv() => match happened {
                    Ok(happened) => self.take(&happened, &mut batch),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        self.batches_missed += missed;
                    }
                    Err(broadcast::error::RecvError::Closed) => is_over = true,
                },
                Some(event) = inbox.from_clients.recv() => batch.push(event),
                Some(reply) = inbox.flushes.recv() => flushes.push(reply),
                _ = inbox.stage.wait_for(|stage| *stage == Stage::Ended) => is_over = true,
            }
            // … and gather more for a moment.
            if flushes.is_empty() && !is_over {
                tokio::select! {
                    () = tokio::time::sleep(GATHER_PERIOD) => {}
                    Some(reply) = inbox.flushes.recv() => flushes.push(reply),
                    _ = inbox.stage.wait_for(|stage| *stage == Stage::Ended) => is_over = true,
                }
            }
            while let Ok(reply) = inbox.flushes.try_recv() {
                flushes.push(reply);
            }
            self.write_all(&mut inbox, &mut batch, is_over).await;
            for reply in flushes {
                // The reader may have left.
                let _ = reply.send(());
            }
        }
    }

    /// Writes the events so far, and at the end of the server those that come meanwhile. Clients
    /// may send faster than the task writes, and a reader waits only for the events before its
    /// request.
    async fn write_all(&mut self, inbox: &mut Inbox, batch: &mut Vec<EventRow>, is_over: bool) {
        let mut waiting = inbox.from_ledger.len() + inbox.from_clients.len();
        loop {
            let taken = self.drain(inbox, batch);
            if batch.is_empty() {
                return;
            }
            self.write(std::mem::take(batch)).await;
            waiting = waiting.saturating_sub(taken);
            if waiting == 0 && !is_over {
                return;
            }
        }
    }

    /// Takes the events so far, up to one batch. Returns how many messages it took.
    fn drain(&mut self, inbox: &mut Inbox, batch: &mut Vec<EventRow>) -> usize {
        let mut taken = 0;
        while batch.len() < BATCH_MAX {
            match inbox.from_ledger.try_recv() {
                Ok(happened) => {
                    self.take(&happened, batch);
                    taken += 1;
                }
                Err(broadcast::error::TryRecvError::Lagged(missed)) => {
                    self.batches_missed += missed;
                    taken += usize::try_from(missed).unwrap_or(usize::MAX);
                }
                Err(_) => break,
            }
        }
        while batch.len() < BATCH_MAX
            && let Some(event) = inbox.from_clients.try_recv()
        {
            batch.push(event);
            taken += 1;
        }
        batch.extend(self.dropped_event(&inbox.from_clients));
        taken
    }

    async fn write(&mut self, batch: Vec<EventRow>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let written = self.recorder.write_in_turn(move |records| {
            let mut batch = batch;
            records.add_events(&mut batch)?;
            Ok(batch)
        });
        let reporting = self.reporting.take();
        match written.await {
            Ok(batch) => {
                if let Some(reporting) = reporting {
                    let reason = reporting.since(self.reported);
                    tracing::warn!(reason, "events were dropped");
                }
                self.reported = reporting.unwrap_or(self.reported);
                let last = batch.last().map(|event| event.number);
                self.newest.tail.add(batch);
                self.newest.latest.send_modify(|latest| *latest = last.unwrap_or(*latest));
            }
            // The report of dropped events comes again.
            Err(_) => self.unwritten += count - u64::from(reporting.is_some()),
        }
    }

    /// Takes the events that the budget admits.
    fn take(&mut self, happened: &[Event], batch: &mut Vec<EventRow>) {
        for event in happened {
            if self.budget.admits(event) {
                batch.extend(events(event));
            } else {
                self.dropped += 1;
            }
        }
    }

    /// What was dropped since the last report, if the next report is due.
    fn dropped_event(&mut self, from_clients: &FromClients) -> Option<EventRow> {
        let dropped = Dropped {
            events: self.dropped + from_clients.dropped(),
            batches: self.batches_missed,
            too_large: from_clients.too_large(),
            unwritten: self.unwritten,
        };
        let now = self.clock.now();
        if dropped == self.reported || now < self.reported_at + DROPPED_PERIOD {
            return None;
        }
        self.reporting = Some(dropped);
        self.reported_at = now;
        let reason = dropped.since(self.reported);
        Some(super::dropped(reason, now.as_micros()))
    }
}

impl Dropped {
    /// What was dropped since an earlier report, in words.
    fn since(self, reported: Self) -> String {
        let mut reasons = Vec::new();
        let events = self.events - reported.events;
        let batches = self.batches - reported.batches;
        let too_large = self.too_large - reported.too_large;
        if events > 0 || batches > 0 {
            let more = match batches {
                0 => String::new(),
                batches => format!(", and {batches} whole batches of events"),
            };
            reasons.push(format!("{events} events came too fast to be logged{more}"));
        }
        let unwritten = self.unwritten - reported.unwritten;
        if unwritten > 0 {
            reasons.push(format!("{unwritten} events could not be written to the disk"));
        }
        if too_large > 0 {
            reasons.push(format!(
                "{too_large} events of clients were larger than {EVENT_BYTES_MAX} bytes without \
                 their payload"
            ));
        }
        reasons.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use leasehold_engine::EventKind;
    use leasehold_records::{Bounds, Records};

    use super::super::client_events;
    use super::*;

    struct World {
        writer: LogWriter,
        inbox: Inbox,
        ledger: broadcast::Sender<Events>,
        clock: Clock,
    }

    fn world() -> World {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let records = Records::in_memory(Bounds::default()).unwrap();
        let (recorder, _) = Recorder::start(records, clock.clone());
        let (ledger, from_ledger) = broadcast::channel(1);
        let newest = Newest { tail: Arc::default(), latest: watch::Sender::new(0) };
        let writer = LogWriter::new(recorder, clock.clone(), Budget::new(0), newest);
        let inbox = Inbox {
            from_ledger,
            from_clients: client_events::channel().1,
            flushes: mpsc::channel(1).1,
            stage: watch::channel(Stage::Running).1,
        };
        World { writer, inbox, ledger, clock }
    }

    impl World {
        /// The next batch, when the next report is due.
        fn next(&mut self) -> Vec<EventRow> {
            self.clock.advance(DROPPED_PERIOD);
            let mut batch = Vec::new();
            self.writer.drain(&mut self.inbox, &mut batch);
            batch
        }
    }

    fn reasons(batch: &[EventRow]) -> Vec<&str> {
        batch.iter().filter_map(|event| event.reason.as_deref()).collect()
    }

    #[tokio::test]
    async fn dropped_events_are_reported_until_the_report_is_durable() {
        let mut world = world();
        world.writer.dropped += 3;
        let working = std::mem::replace(&mut world.writer.recorder, Recorder::stopped());
        let batch = world.next();
        assert_eq!(reasons(&batch), ["3 events came too fast to be logged"]);
        world.writer.write(batch).await;
        world.writer.recorder = working;
        let batch = world.next();
        assert_eq!(reasons(&batch), ["3 events came too fast to be logged"]);
        world.writer.write(batch).await;
        assert!(world.next().is_empty());
    }

    #[tokio::test]
    async fn missed_batches_are_not_counted_as_events() {
        let mut world = world();
        let event = Event {
            at: Timestamp::from_micros(0),
            kind: EventKind::Granted,
            limits: smallvec::smallvec![],
            granted: None,
            lease: None,
            holder: None,
            origin: None,
            partners: Vec::new(),
        };
        for _ in 0..3 {
            world.ledger.send(Arc::from([event.clone()])).unwrap();
        }
        let batch = world.next();
        let expected = "0 events came too fast to be logged, and 2 whole batches of events";
        assert_eq!(reasons(&batch), [expected]);
        world.writer.write(batch).await;
        assert!(world.next().is_empty());
    }

    #[tokio::test]
    async fn a_reader_does_not_wait_for_events_after_its_request() {
        const TOO_MANY: u64 = 50_000;
        let mut world = world();
        let (clients, from_clients) = client_events::channel();
        world.inbox.from_clients = from_clients;
        let latest = world.writer.newest.latest.subscribe();
        let flood = async {
            while *latest.borrow() < TOO_MANY {
                clients.note(client_events::ClientRow::ours(EventRow::new(
                    crate::ids::at(0),
                    "x",
                    0,
                )));
                tokio::task::yield_now().await;
            }
        };
        clients.note(client_events::ClientRow::ours(EventRow::new(crate::ids::at(0), "first", 0)));
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            () = world.writer.write_all(&mut world.inbox, &mut batch, false) => {}
            () = flood => panic!("it writes for as long as clients send"),
        }
        assert!(*latest.borrow() >= 1);
    }
}
