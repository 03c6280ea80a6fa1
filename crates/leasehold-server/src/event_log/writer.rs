//! The task that writes the log. It gathers for a moment, so that a busy ledger costs some writes
//! a second and not one for each of its commits; whoever reads the log has it written at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold_engine::{Happening, Span, Timestamp};
use leasehold_records::Event;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use uuid::Uuid;

use super::budget::Budget;
use super::{Stage, events};
use crate::clock::Clock;
use crate::coordinator::Told;
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
    /// The number of the last event that is durable.
    latest: watch::Sender<u64>,
    dropped: Arc<AtomicU64>,
    dropped_told: u64,
    dropped_told_at: Timestamp,
}

/// Everything that reaches the writer.
pub(super) struct Inbox {
    pub(super) told: broadcast::Receiver<Told>,
    pub(super) from_clients: mpsc::Receiver<Event>,
    /// Who waits until all that has happened is written.
    pub(super) flushes: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) stage: watch::Receiver<Stage>,
}

impl LogWriter {
    pub(super) fn new(
        recorder: Recorder,
        clock: Clock,
        budget: Budget,
        latest: watch::Sender<u64>,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        let dropped_told_at = clock.now();
        Self { recorder, clock, budget, latest, dropped, dropped_told: 0, dropped_told_at }
    }

    pub(super) async fn run(mut self, mut inbox: Inbox) {
        let mut batch = Vec::new();
        let mut is_over = false;
        while !is_over {
            let mut flush = None;
            // Until something happens …
            tokio::select! {
                biased;
                happened = inbox.told.recv() => match happened {
                    Ok(happened) => self.take(&happened, &mut batch),
                    Err(broadcast::error::RecvError::Lagged(missed)) => self.missed(missed),
                    Err(broadcast::error::RecvError::Closed) => is_over = true,
                },
                Some(event) = inbox.from_clients.recv() => batch.push(event),
                Some(reply) = inbox.flushes.recv() => flush = Some(reply),
                _ = inbox.stage.wait_for(|stage| *stage == Stage::Ended) => is_over = true,
            }
            // … and for a moment longer.
            if flush.is_none() && !is_over {
                tokio::select! {
                    () = tokio::time::sleep(GATHER_PERIOD) => {}
                    Some(reply) = inbox.flushes.recv() => flush = Some(reply),
                    _ = inbox.stage.wait_for(|stage| *stage == Stage::Ended) => is_over = true,
                }
            }
            while self.drain(&mut inbox, &mut batch) {
                self.write(std::mem::take(&mut batch)).await;
            }
            // Whoever asked may have left.
            let _ = flush.map(|reply| reply.send(()));
        }
    }

    /// Takes what is there, up to what is written at once. Answers whether there is anything.
    fn drain(&mut self, inbox: &mut Inbox, batch: &mut Vec<Event>) -> bool {
        while batch.len() < BATCH_MAX {
            match inbox.told.try_recv() {
                Ok(happened) => self.take(&happened, batch),
                Err(broadcast::error::TryRecvError::Lagged(missed)) => self.missed(missed),
                Err(_) => break,
            }
        }
        while batch.len() < BATCH_MAX
            && let Ok(event) = inbox.from_clients.try_recv()
        {
            batch.push(event);
        }
        batch.extend(self.dropped_event());
        !batch.is_empty()
    }

    async fn write(&mut self, batch: Vec<Event>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let written = self.recorder.write_in_turn(move |book| {
            let mut last = 0;
            for event in &batch {
                last = book.add_event(event)?;
            }
            Ok(last)
        });
        match written.await {
            Ok(last) => drop(self.latest.send_replace(last)),
            Err(_) => self.missed(count),
        }
    }

    /// Takes what is to be logged of what happened.
    fn take(&mut self, happened: &[Happening], batch: &mut Vec<Event>) {
        let mut dropped = 0;
        for happening in happened {
            if self.budget.admits(happening) {
                batch.extend(events(happening));
            } else {
                dropped += 1;
            }
        }
        self.missed(dropped);
    }

    fn missed(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// What was dropped since that was told last, if it is time to tell.
    fn dropped_event(&mut self) -> Option<Event> {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let now = self.clock.now();
        if dropped == self.dropped_told || now < self.dropped_told_at + DROPPED_PERIOD {
            return None;
        }
        let count = dropped - self.dropped_told;
        self.dropped_told = dropped;
        self.dropped_told_at = now;
        tracing::warn!(count, "events came too fast to be logged, and were dropped");
        Some(Event {
            number: 0,
            id: Uuid::now_v7(),
            at_micros: now.as_micros(),
            kind: "log.dropped".to_owned(),
            limit: None,
            holder: None,
            lease: None,
            reason: Some(format!("{count} events came too fast to be logged")),
            document: None,
        })
    }
}
