//! The tasks that count: one follows the ledger's events, the other looks how full the limits are
//! and writes each minute for the charts.

use std::sync::Arc;
use std::time::Duration;

use leasehold_engine::Timestamp;
use leasehold_node::{Clock, Events, Handle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinHandle;

use super::{Figures, history};
use crate::records::Recorder;
use crate::survey::Survey;

/// Events are counted in batches, so that a busy ledger wakes the task ten times a second and not
/// with each commit. The ledger keeps more for its subscribers than happens in this time.
const BATCH_PAUSE: Duration = Duration::from_millis(100);
/// How often the task looks how full the limits are.
const SAMPLE_PERIOD: Duration = Duration::from_secs(10);
/// After how many looks a minute is written.
const SAMPLES_IN_MINUTE: u32 = 6;

/// The tasks, while they run.
#[derive(Debug)]
pub(crate) struct Counting(Vec<JoinHandle<()>>);

impl Counting {
    /// Starts to count. Without records there are no charts.
    pub(crate) fn start(
        figures: &Figures,
        ledger: &Handle,
        survey: Arc<Survey>,
        recorder: Option<Recorder>,
    ) -> Self {
        let _ = figures.0.started.set(ledger.clock().now());
        let follow = follow(figures.clone(), ledger.subscribe());
        let sample = sample(figures.clone(), ledger.clock().clone(), survey, recorder);
        Self(vec![tokio::spawn(follow), tokio::spawn(sample)])
    }
}

impl Counting {
    /// Stops, and writes the present minute.
    pub(crate) async fn stop(self, figures: &Figures, recorder: Option<&Recorder>, now: Timestamp) {
        drop(self);
        if let Some(recorder) = recorder {
            history::write(figures, recorder, now).await;
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn sample(figures: Figures, clock: Clock, survey: Arc<Survey>, recorder: Option<Recorder>) {
    let mut looks = 0;
    loop {
        tokio::time::sleep(SAMPLE_PERIOD).await;
        // A ledger that does not answer now is looked at the next time.
        if let Ok(limits) = survey.limits().await {
            figures.by_limit().sample(&limits, SAMPLE_PERIOD.as_secs_f64());
        }
        looks += 1;
        if looks >= SAMPLES_IN_MINUTE {
            looks = 0;
            if let Some(recorder) = &recorder {
                history::write(&figures, recorder, clock.now()).await;
            }
        }
    }
}

async fn follow(figures: Figures, mut events: Receiver<Events>) {
    loop {
        match events.recv().await {
            Ok(batch) => count(&figures, &batch),
            Err(RecvError::Lagged(missed)) => figures.by_limit().missed_batches += missed,
            Err(RecvError::Closed) => return,
        }
        loop {
            match events.try_recv() {
                Ok(batch) => count(&figures, &batch),
                Err(TryRecvError::Lagged(missed)) => figures.by_limit().missed_batches += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        tokio::time::sleep(BATCH_PAUSE).await;
    }
}

fn count(figures: &Figures, batch: &Events) {
    let mut by_limit = figures.by_limit();
    batch.iter().for_each(|event| by_limit.count(event));
}
