//! The thread that owns the records of runs, and how to reach it.
//!
//! Everything that waits when it looks goes into one book, and is answered when that is durable:
//! many runs share one `fsync`. The coordinator knows nothing of this thread, and never waits
//! for it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use leasehold_records::{Book, Records, RecordsError};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::clock::Clock;
use crate::coordinator::{Unavailable, chain};

/// How many requests may wait. Beyond, the server is overloaded and says so.
const QUEUE_MAX: usize = 4_096;
/// How many bytes may wait that nobody waits for: what clients tell in events, each up to a
/// mebibyte. Beyond, their sockets are read no further.
const BEHIND_BYTES_MAX: usize = 16 << 20;
/// How many requests go into one book.
const BATCH_MAX: usize = 256;
/// How often what is too old or too much is looked for.
const PRUNE_PERIOD: Duration = Duration::from_secs(10);

/// Sends work to the records' thread.
#[derive(Clone, Debug)]
pub struct Recorder {
    work: mpsc::Sender<Work>,
    /// In bytes, for what nobody waits for.
    room_behind: Arc<Semaphore>,
}

/// The records' thread, while it runs.
#[derive(Debug)]
pub struct RunningRecorder {
    thread: thread::JoinHandle<()>,
}

/// Does something with the book, and answers when told whether it is durable.
type Work = Box<dyn FnOnce(&Book<'_>) -> Result<Reply, RecordsError> + Send>;
type Reply = Box<dyn FnOnce(bool) + Send>;

impl Recorder {
    /// Starts a thread on records, within a runtime. It ends when the last recorder is dropped.
    pub fn start(records: Records, clock: Clock) -> (Self, RunningRecorder) {
        Self::start_with(records, clock, PRUNE_PERIOD)
    }

    fn start_with(records: Records, clock: Clock, period: Duration) -> (Self, RunningRecorder) {
        let (work, todo) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(nudge(work.downgrade(), period));
        let thread = thread::spawn(move || run(records, &clock, todo, period));
        let room_behind = Arc::new(Semaphore::new(BEHIND_BYTES_MAX));
        (Self { work, room_behind }, RunningRecorder { thread })
    }

    /// One whose thread has ended.
    #[cfg(test)]
    pub(crate) fn stopped() -> Self {
        Self { work: mpsc::channel(1).0, room_behind: Arc::new(Semaphore::new(1)) }
    }

    /// Does something with the records, and answers when it is durable.
    ///
    /// # Errors
    ///
    /// See [`Unavailable`]: at once when too much is waiting already.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Book<'_>) -> Result<T, RecordsError> + Send + 'static,
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
        work: impl FnOnce(&Book<'_>) -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (work, answer) = prepare(work);
        self.work.send(work).await.map_err(|_| Unavailable::Stopping)?;
        answer.await.unwrap_or(Err(Unavailable::Journal))
    }

    /// Does something with the records in its turn, without waiting until it is durable: what is
    /// lost with the process is observed again, or was of no use to anybody. `then` follows once
    /// it is durable. `bytes` is how much it keeps in memory meanwhile.
    pub(crate) async fn write_behind(
        &self,
        bytes: usize,
        work: impl FnOnce(&Book<'_>) -> Result<(), RecordsError> + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        let bytes = u32::try_from(bytes.clamp(1, BEHIND_BYTES_MAX)).unwrap_or(u32::MAX);
        let Ok(room) = self.room_behind.clone().acquire_many_owned(bytes).await else { return };
        let work: Work = Box::new(move |book| {
            work(book)?;
            drop(room);
            Ok(Box::new(|is_durable| {
                if is_durable {
                    then();
                }
            }))
        });
        // A thread that has ended has said why.
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
    work: impl FnOnce(&Book<'_>) -> Result<T, RecordsError> + Send + 'static,
) -> (Work, oneshot::Receiver<Result<T, Unavailable>>) {
    let (reply, answer) = oneshot::channel();
    let work: Work = Box::new(move |book| {
        // Dropped with its work, the sender tells the asker that it failed.
        let result = work(book)?;
        Ok(Box::new(move |is_durable| {
            let _ = reply.send(if is_durable { Ok(result) } else { Err(Unavailable::Journal) });
        }))
    });
    (work, answer)
}

/// Wakes the thread, so that old records are forgotten though nobody asks for anything.
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
    let mut pruned_at = Instant::now();
    let mut is_behind = false;
    let mut complaints = Complaints::new(period);
    loop {
        // While there is more to forget, nobody is waited for, and nobody waits for all of it.
        if !is_behind || !todo.is_empty() || todo.is_closed() {
            if todo.blocking_recv_many(&mut batch, BATCH_MAX) == 0 {
                return;
            }
            let mut replies = Vec::with_capacity(batch.len());
            let written = write_batch(&mut records, batch.drain(..), &mut replies);
            complaints.room(records.lack_room());
            if let Err(error) = &written {
                complaints.failure(error, "runs and events could not be recorded");
            }
            for reply in replies {
                reply(written.is_ok());
            }
        }
        if is_behind || records.overflow() || pruned_at.elapsed() >= period {
            pruned_at = Instant::now();
            is_behind = prune(&mut records, clock, &mut complaints);
        }
    }
}

/// Forgets some of what is too old or too much. Answers whether there may be more.
fn prune(records: &mut Records, clock: &Clock, complaints: &mut Complaints) -> bool {
    let now = clock.now().as_micros();
    let pruned = records.book().and_then(|book| {
        let is_behind = book.prune(now)?;
        book.close()?;
        Ok(is_behind)
    });
    pruned.unwrap_or_else(|error| {
        complaints.failure(&error, "old runs and events could not be forgotten");
        false
    })
}

/// All of it, or nothing: a statement that fails may take its whole transaction with it. A
/// damaged document, or what the disk has no room for, fails alone.
fn write_batch(
    records: &mut Records,
    batch: impl Iterator<Item = Work>,
    replies: &mut Vec<Reply>,
) -> Result<(), RecordsError> {
    let book = records.book()?;
    for work in batch {
        match book.wholly(work) {
            Ok(reply) => replies.push(reply),
            Err(error @ RecordsError::Damaged(_)) => {
                tracing::error!(error = %chain(&error), "a record cannot be read");
            }
            // Said once, when it begins.
            Err(RecordsError::Reserved { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    book.close()
}

/// What is wrong with the disk, said once: on one that is full every batch fails alike, and to say
/// so each time would fill the log.
struct Complaints {
    period: Duration,
    failed_at: Option<Instant>,
    lacks_room: bool,
}

impl Complaints {
    fn new(period: Duration) -> Self {
        Self { period, failed_at: None, lacks_room: false }
    }

    fn failure(&mut self, error: &RecordsError, what: &str) {
        if self.failed_at.is_none_or(|at| at.elapsed() >= self.period) {
            self.failed_at = Some(Instant::now());
            tracing::error!(error = %chain(error), "{what}");
        }
    }

    fn room(&mut self, reserve: Option<u64>) {
        if std::mem::replace(&mut self.lacks_room, reserve.is_some()) == reserve.is_some() {
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
