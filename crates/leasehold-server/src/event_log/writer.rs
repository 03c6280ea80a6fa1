//! The task that writes the log. It gathers for a moment, so that a busy ledger costs some writes
//! a second and not one for each of its commits; whoever reads the log has it written at once.

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
/// How often it is told how many were dropped.
const DROPPED_PERIOD: Span = Span::from_seconds(10);

pub(super) struct LogWriter {
    recorder: Recorder,
    clock: Clock,
    budget: Budget,
    newest: Newest,
    dropped: u64,
    /// What could not be written.
    unwritten: u64,
    /// What was missed as a whole: the ledger tells in batches, and was too far ahead.
    batches_missed: u64,
    /// What the log says was dropped.
    told: Dropped,
    /// What the batch that is being written says.
    telling: Option<Dropped>,
    /// When it was last tried to say so.
    told_at: Timestamp,
}

/// Where events are put once they are durable.
pub(super) struct Newest {
    pub(super) tail: Arc<Tail>,
    /// The number of the last event that is durable.
    pub(super) latest: watch::Sender<u64>,
}

/// What is not in the log, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Dropped {
    events: u64,
    /// Nobody knows how many events are in these.
    batches: u64,
    /// Events that clients sent, larger than what is kept.
    too_large: u64,
    /// Events that the records refused: the disk was full, or almost.
    unwritten: u64,
}

/// Everything that reaches the writer.
pub(super) struct Inbox {
    pub(super) told: broadcast::Receiver<Events>,
    pub(super) from_clients: FromClients,
    /// Who waits until all that has happened is written.
    pub(super) flushes: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) stage: watch::Receiver<Stage>,
}

impl LogWriter {
    pub(super) fn new(recorder: Recorder, clock: Clock, budget: Budget, newest: Newest) -> Self {
        let told_at = clock.now();
        Self {
            recorder,
            clock,
            budget,
            newest,
            dropped: 0,
            unwritten: 0,
            batches_missed: 0,
            told: Dropped::default(),
            telling: None,
            told_at,
        }
    }

    pub(super) async fn run(mut self, mut inbox: Inbox) {
        let mut batch = Vec::new();
        let mut is_over = false;
        while !is_over {
            let mut flushes = Vec::new();
            // Until something happens …
            tokio::select! {
                biased;
                happened = inbox.told.recv() => match happened {
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
            // … and for a moment longer.
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
                // Who asked may have left.
                let _ = reply.send(());
            }
        }
    }

    /// Writes what is there by now, and until the end what comes meanwhile as well. Clients may send
    /// faster than that can be written, and readers of the log wait for no more than what happened
    /// before they asked.
    async fn write_all(&mut self, inbox: &mut Inbox, batch: &mut Vec<EventRow>, is_over: bool) {
        let mut waiting = inbox.told.len() + inbox.from_clients.len();
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

    /// Takes what is there, up to what is written at once. Answers how much was taken.
    fn drain(&mut self, inbox: &mut Inbox, batch: &mut Vec<EventRow>) -> usize {
        let mut taken = 0;
        while batch.len() < BATCH_MAX {
            match inbox.told.try_recv() {
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
        let telling = self.telling.take();
        match written.await {
            Ok(batch) => {
                if let Some(telling) = telling {
                    let reason = telling.since(self.told);
                    tracing::warn!(reason, "events were dropped");
                }
                self.told = telling.unwrap_or(self.told);
                let last = batch.last().map(|event| event.number);
                self.newest.tail.add(batch);
                self.newest.latest.send_modify(|latest| *latest = last.unwrap_or(*latest));
            }
            // What says how much was dropped comes again.
            Err(_) => self.unwritten += count - u64::from(telling.is_some()),
        }
    }

    /// Takes what is to be logged of what happened.
    fn take(&mut self, happened: &[Event], batch: &mut Vec<EventRow>) {
        for event in happened {
            if self.budget.admits(event) {
                batch.extend(events(event));
            } else {
                self.dropped += 1;
            }
        }
    }

    /// What was dropped since that was told last, if it is time to tell.
    fn dropped_event(&mut self, from_clients: &FromClients) -> Option<EventRow> {
        let dropped = Dropped {
            events: self.dropped + from_clients.dropped(),
            batches: self.batches_missed,
            too_large: from_clients.too_large(),
            unwritten: self.unwritten,
        };
        let now = self.clock.now();
        if dropped == self.told || now < self.told_at + DROPPED_PERIOD {
            return None;
        }
        self.telling = Some(dropped);
        self.told_at = now;
        let reason = dropped.since(self.told);
        Some(super::dropped(reason, now.as_micros()))
    }
}

impl Dropped {
    /// What was dropped since the log said so before, in words.
    fn since(self, told: Self) -> String {
        let mut reasons = Vec::new();
        let events = self.events - told.events;
        let batches = self.batches - told.batches;
        let too_large = self.too_large - told.too_large;
        if events > 0 || batches > 0 {
            let more = match batches {
                0 => String::new(),
                batches => format!(", and {batches} whole batches of events"),
            };
            reasons.push(format!("{events} events came too fast to be logged{more}"));
        }
        let unwritten = self.unwritten - told.unwritten;
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
        told: broadcast::Sender<Events>,
        clock: Clock,
    }

    fn world() -> World {
        let clock = Clock::manual(Timestamp::from_micros(0));
        let records = Records::in_memory(Bounds::default()).unwrap();
        let (recorder, _) = Recorder::start(records, clock.clone());
        let (told, inbox_told) = broadcast::channel(1);
        let newest = Newest { tail: Arc::default(), latest: watch::Sender::new(0) };
        let writer = LogWriter::new(recorder, clock.clone(), Budget::new(0), newest);
        let inbox = Inbox {
            told: inbox_told,
            from_clients: client_events::channel().1,
            flushes: mpsc::channel(1).1,
            stage: watch::channel(Stage::Running).1,
        };
        World { writer, inbox, told, clock }
    }

    impl World {
        /// What is written next, if anything, after a while.
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
    async fn what_was_dropped_is_told_until_that_is_durable() {
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
    async fn batches_that_were_missed_are_not_told_to_be_events() {
        let mut world = world();
        let event = Event {
            at: Timestamp::from_micros(0),
            kind: EventKind::Granted,
            limits: smallvec::smallvec![],
            lease: None,
            holder: None,
            origin: None,
        };
        for _ in 0..3 {
            world.told.send(Arc::from([event.clone()])).unwrap();
        }
        let batch = world.next();
        let expected = "0 events came too fast to be logged, and 2 whole batches of events";
        assert_eq!(reasons(&batch), [expected]);
        world.writer.write(batch).await;
        assert!(world.next().is_empty());
    }

    #[tokio::test]
    async fn a_reader_does_not_wait_for_what_clients_send_after_it_asked() {
        const TOO_MANY: u64 = 50_000;
        let mut world = world();
        let (clients, from_clients) = client_events::channel();
        world.inbox.from_clients = from_clients;
        let latest = world.writer.newest.latest.subscribe();
        let flood = async {
            while *latest.borrow() < TOO_MANY {
                clients.note(client_events::ClientEvent::ours(EventRow::new(
                    crate::ids::at(0),
                    "x",
                    0,
                )));
                tokio::task::yield_now().await;
            }
        };
        clients.note(client_events::ClientEvent::ours(EventRow::new(
            crate::ids::at(0),
            "first",
            0,
        )));
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            () = world.writer.write_all(&mut world.inbox, &mut batch, false) => {}
            () = flood => panic!("it writes for as long as clients send"),
        }
        assert!(*latest.borrow() >= 1);
    }
}
