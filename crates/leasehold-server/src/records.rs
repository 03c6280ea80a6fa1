//! The thread that owns the records of runs, and the handle that reaches it.
//!
//! All waiting requests share one transaction, and are answered when it is durable: many runs share
//! one `fsync`. The ledger knows nothing of this thread and never waits for it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use leasehold_engine::{Span, Timestamp};
use leasehold_node::{Clock, Unavailable, chain};
use leasehold_records::{Records, RecordsError, Transaction};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// How many requests may wait. Beyond, the server is overloaded and refuses more.
const QUEUE_MAX: usize = 4_096;
/// How many bytes of clients' events may wait; one event may have up to a mebibyte. Beyond, the
/// server reads no more from their sockets.
const BEHIND_BYTES_MAX: usize = 16 << 20;
/// How many requests go into one transaction.
const BATCH_MAX: usize = 256;
/// How often the thread prunes what is too old or too much.
const PRUNE_PERIOD: Duration = Duration::from_secs(10);

/// Sends work to the records' thread.
#[derive(Clone, Debug)]
pub struct Recorder {
    work: mpsc::Sender<Work>,
    /// The bytes that are free for work without an answer.
    bytes_behind: Arc<Semaphore>,
}

/// The records' thread, while it runs.
#[derive(Debug)]
pub struct RunningRecorder {
    thread: thread::JoinHandle<()>,
}

/// Reads and writes records; the reply is called with whether they are durable.
type Work = Box<dyn FnOnce(&Transaction<'_>) -> Result<Reply, RecordsError> + Send>;
type Reply = Box<dyn FnOnce(bool) + Send>;

impl Recorder {
    /// Starts the thread, within a runtime. It ends when the last recorder is dropped.
    pub fn start(records: Records, clock: Clock) -> (Self, RunningRecorder) {
        Self::start_with(records, clock, PRUNE_PERIOD)
    }

    fn start_with(records: Records, clock: Clock, period: Duration) -> (Self, RunningRecorder) {
        let (work, todo) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(nudge(work.downgrade(), period));
        let thread = thread::spawn(move || run(records, &clock, todo, period));
        let bytes_behind = Arc::new(Semaphore::new(BEHIND_BYTES_MAX));
        (Self { work, bytes_behind }, RunningRecorder { thread })
    }

    /// A recorder whose thread has ended.
    #[cfg(test)]
    pub(crate) fn stopped() -> Self {
        Self { work: mpsc::channel(1).0, bytes_behind: Arc::new(Semaphore::new(1)) }
    }

    /// Reads and writes records. Returns when that is durable.
    ///
    /// # Errors
    ///
    /// See [`Unavailable`]: at once if too many requests wait.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (work, answer) = prepare(work);
        self.work.try_send(work).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Stopping,
        })?;
        answer.await.unwrap_or(Err(Unavailable::Journal))
    }

    /// As [`write`](Self::write), but waits for its turn instead of giving up.
    pub(crate) async fn write_in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (work, answer) = prepare(work);
        self.work.send(work).await.map_err(|_| Unavailable::Stopping)?;
        answer.await.unwrap_or(Err(Unavailable::Journal))
    }

    /// Writes records in their turn. Does not wait until they are durable: if the process dies, the
    /// server observes again what was lost, or does not need it. `then` is called once they are
    /// durable. `bytes` is how much memory the work takes meanwhile.
    pub(crate) async fn write_behind(
        &self,
        bytes: usize,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), RecordsError> + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        let bytes = u32::try_from(bytes.clamp(1, BEHIND_BYTES_MAX)).unwrap_or(u32::MAX);
        let Ok(permit) = self.bytes_behind.clone().acquire_many_owned(bytes).await else { return };
        let work: Work = Box::new(move |records| {
            work(records)?;
            drop(permit);
            Ok(Box::new(|is_durable| {
                if is_durable {
                    then();
                }
            }))
        });
        // A thread that has ended has logged why.
        let _ = self.work.send(work).await;
    }
}

impl RunningRecorder {
    /// Waits until everything that was sent is durable. All recorders must be gone.
    pub fn stop(self) {
        if self.thread.join().is_err() {
            tracing::error!("the records' thread has panicked");
        }
    }
}

fn prepare<T: Send + 'static>(
    work: impl FnOnce(&Transaction<'_>) -> Result<T, RecordsError> + Send + 'static,
) -> (Work, oneshot::Receiver<Result<T, Unavailable>>) {
    let (reply, answer) = oneshot::channel();
    let work: Work = Box::new(move |records| {
        // Dropped with its work, the sender reports that the work failed.
        let result = work(records)?;
        Ok(Box::new(move |is_durable| {
            let _ = reply.send(if is_durable { Ok(result) } else { Err(Unavailable::Journal) });
        }))
    });
    (work, answer)
}

/// Wakes the thread, so that an idle server prunes, too.
async fn nudge(work: mpsc::WeakSender<Work>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let Some(work) = work.upgrade() else { return };
        // A queue that is full needs no nudge.
        let _ = work.try_send(Box::new(|_| Ok(Box::new(|_| {}))));
    }
}

fn run(mut records: Records, clock: &Clock, mut todo: mpsc::Receiver<Work>, period: Duration) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let period = Span::from_micros(u64::try_from(period.as_micros()).unwrap_or(u64::MAX));
    let mut pruned_at = clock.now();
    let (mut is_behind, mut overflows) = (false, false);
    let mut complaints = Complaints::new(period);
    loop {
        // While there is more to prune, the thread does not wait, and requests come in between.
        if !is_behind || !todo.is_empty() || todo.is_closed() {
            if todo.blocking_recv_many(&mut batch, BATCH_MAX) == 0 {
                return;
            }
            let mut replies = Vec::with_capacity(batch.len());
            let written = write_batch(&mut records, batch.drain(..), &mut replies);
            complaints.space(records.lack_space());
            match &written {
                Ok(now) => overflows = *now,
                Err(error) => {
                    complaints.failure(error, clock.now(), "runs and events could not be recorded");
                }
            }
            for reply in replies {
                reply(written.is_ok());
            }
        }
        if is_behind || overflows || clock.now().since(pruned_at) >= period {
            pruned_at = clock.now();
            overflows = false;
            is_behind = prune(&mut records, clock, &mut complaints);
        }
    }
}

/// Prunes some of what is too old or too much. Returns whether there may be more.
fn prune(records: &mut Records, clock: &Clock, complaints: &mut Complaints) -> bool {
    let now = clock.now().as_micros();
    let pruned = records.begin().and_then(|records| {
        let is_behind = records.prune(now)?;
        records.commit()?;
        Ok(is_behind)
    });
    pruned.unwrap_or_else(|error| {
        complaints.failure(&error, clock.now(), "old runs and events could not be pruned");
        false
    })
}

/// Writes a batch in one transaction, all of it or nothing: a failed statement may roll the whole
/// transaction back. Work that finds a damaged row, or for which the disk has no space, fails
/// alone. Returns whether the log overflows.
fn write_batch(
    records: &mut Records,
    batch: impl Iterator<Item = Work>,
    replies: &mut Vec<Reply>,
) -> Result<bool, RecordsError> {
    let records = records.begin()?;
    for work in batch {
        match records.savepoint(work) {
            Ok(reply) => replies.push(reply),
            Err(error @ RecordsError::Damaged(_)) => {
                tracing::error!(error = %chain(&error), "a record cannot be read");
            }
            // `Complaints` logs a lack of space once, when it begins.
            Err(RecordsError::Reserved { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let overflows = records.log_overflows()?;
    records.commit()?;
    Ok(overflows)
}

/// Logs a failure once a period, and a lack of space once: on a full disk every batch fails alike.
struct Complaints {
    period: Span,
    failed_at: Option<Timestamp>,
    lacks_space: bool,
}

impl Complaints {
    fn new(period: Span) -> Self {
        Self { period, failed_at: None, lacks_space: false }
    }

    fn failure(&mut self, error: &RecordsError, now: Timestamp, what: &str) {
        if self.failed_at.is_none_or(|at| now.since(at) >= self.period) {
            self.failed_at = Some(now);
            tracing::error!(error = %chain(error), "{what}");
        }
    }

    fn space(&mut self, reserve: Option<u64>) {
        if std::mem::replace(&mut self.lacks_space, reserve.is_some()) == reserve.is_some() {
            return;
        }
        match reserve {
            Some(bytes) => tracing::error!(
                reserve_bytes = bytes,
                "the disk is almost full: runs and events are not recorded, so that limits and \
                 leases have room; make room on the disk of the data directory"
            ),
            None => tracing::info!("the disk has room again: runs and events are recorded"),
        }
    }
}

#[cfg(test)]
mod tests;
