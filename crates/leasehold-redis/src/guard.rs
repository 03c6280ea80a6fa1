//! What a holder has in its hand: it renews by itself, says when the lock is lost, and gives back
//! on drop.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::fault::Fault;

/// Why a lock that was held is not held any more. Ownership lost and Redis unreachable are
/// different things: D28.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// Redis says that the lock is not ours: it ran out and somebody else took it, or somebody
    /// deleted it.
    #[error("the lock is not ours any more: it was deleted, or somebody else has taken it")]
    TakenAway,
    /// Redis could not be asked for so long that the lock is about to run out.
    #[error("the lock could not be renewed in time: {0}")]
    Unreachable(Fault),
    /// This process did not run for longer than the lock lasts.
    #[error("this process was paused for longer than the lock lasts")]
    Overslept,
    /// The fleet was moved, by force, to a phase that excludes nobody who holds the lock as we do.
    #[error("the fleet was moved to phase {phase}, in which this lock protects nothing")]
    PhaseMoved {
        /// The phase that it is in now.
        phase: String,
    },
    /// A semaphore's system lock keeps everybody from renewing.
    #[error("a system lock on the semaphore keeps it from being renewed")]
    SystemLock,
}

/// What went wrong at giving a lock back.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It was lost before: what it protected was not protected until now.
    #[error("the lock was lost before it was released: {0}")]
    Lost(Lost),
    /// Nobody knows whether it was given back; it runs out by itself.
    #[error("the lock may not have been released, and runs out by itself: {0}")]
    Fault(Fault),
}

/// The outcome of a renewal that got an answer.
pub(crate) enum Renewal {
    Kept,
    /// Still held, but something is to be done again before the next renewal is due.
    KeptForNow,
    Lost(Lost),
}

/// Something held on Redis that the guard keeps alive.
pub(crate) trait Held: Send + 'static {
    /// Until when it is ours at least; `None` without a ttl.
    fn until(&self) -> Option<Instant>;
    fn renew(&mut self) -> impl Future<Output = Result<Renewal, Fault>> + Send;
    /// Resolves when a renewal is wanted early, because the phase has changed.
    fn woken(&mut self) -> impl Future<Output = ()> + Send;
    /// Gives everything back; `false` when it was not ours any more.
    fn release(&mut self) -> impl Future<Output = Result<bool, Fault>> + Send;
}

type ReleaseReply = oneshot::Sender<Result<(), ReleaseError>>;

/// A lock or a place in a semaphore, held. It renews itself in the background at a third of its
/// ttl; [`lost`](Self::lost) resolves before anyone else can have it, by `notice`. Dropped, it is
/// given back in the background; where the program ends at once after, call
/// [`release`](Self::release) instead.
pub struct Guard {
    shared: Arc<Shared>,
    lost: watch::Receiver<Option<Lost>>,
    release: Option<oneshot::Sender<ReleaseReply>>,
    #[cfg(test)]
    task: tokio::task::AbortHandle,
}

struct Shared {
    /// When the holder has to have stopped believing that it holds.
    deadline: Mutex<Option<Instant>>,
}

impl Shared {
    fn deadline(&self) -> Option<Instant> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("held", &self.is_held()).finish()
    }
}

impl Guard {
    /// Starts to keep `held` alive. `notice` is how long before anyone else can have it the holder
    /// is told.
    pub(crate) fn start<H: Held>(held: H, ttl: Option<Duration>, notice: Duration) -> Self {
        let deadline = deadline_of(&held, notice);
        let shared = Arc::new(Shared { deadline: Mutex::new(deadline) });
        let (lost_sender, lost) = watch::channel(None);
        let (release, released) = oneshot::channel();
        let keeper = Keeper { held, shared: Arc::clone(&shared), lost: lost_sender, ttl, notice };
        let task = tokio::spawn(keeper.run(released));
        #[cfg(not(test))]
        drop(task);
        Self {
            shared,
            lost,
            release: Some(release),
            #[cfg(test)]
            task: task.abort_handle(),
        }
    }

    /// Whether the lock is held at this instant, for all that this process can know.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lost.borrow().is_none()
            && self.shared.deadline().is_none_or(|deadline| Instant::now() < deadline)
    }

    /// How long the holder can go on if Redis were not to be reached from now on; `None` without a
    /// ttl.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.held_until()?.saturating_duration_since(Instant::now()))
    }

    /// Until when the holder can go on if Redis were not to be reached from now on; `None` without
    /// a ttl. It can be past.
    #[must_use]
    pub fn held_until(&self) -> Option<Instant> {
        self.shared.deadline()
    }

    /// Resolves when the lock is lost, and not before. Can be dropped and called again.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(loss) => loss.clone().unwrap_or(Lost::TakenAway),
            // The keeper has gone without a word: only at the end of the runtime.
            Err(_) => Lost::Overslept,
        }
    }

    /// Gives the lock back, and waits until that is done.
    ///
    /// # Errors
    /// When the lock was lost before, or Redis cannot be reached.
    pub async fn release(mut self) -> Result<(), ReleaseError> {
        let (reply, answer) = oneshot::channel();
        if let Some(release) = self.release.take() {
            // A keeper that is gone drops the reply, which the next line sees.
            let _ = release.send(reply);
        }
        answer.await.unwrap_or(Err(ReleaseError::Lost(Lost::Overslept)))
    }

    /// As if the process had crashed: nothing is given back and nothing is renewed.
    #[cfg(test)]
    pub(crate) fn crash(self) {
        self.task.abort();
    }
}

fn deadline_of<H: Held>(held: &H, notice: Duration) -> Option<Instant> {
    held.until().map(|until| until.checked_sub(notice).unwrap_or(until))
}

struct Keeper<H> {
    held: H,
    shared: Arc<Shared>,
    lost: watch::Sender<Option<Lost>>,
    ttl: Option<Duration>,
    notice: Duration,
}

enum Event {
    Release(Result<ReleaseReply, oneshot::error::RecvError>),
    Deadline,
    RenewalDue,
}

impl<H: Held> Keeper<H> {
    async fn run(mut self, mut released: oneshot::Receiver<ReleaseReply>) {
        let mut last_fault: Option<Fault> = None;
        let mut next = self.after_success();
        loop {
            let deadline = self.shared.deadline();
            let event = tokio::select! {
                biased;
                reply = &mut released => Event::Release(reply),
                () = until(deadline) => Event::Deadline,
                () = self.held.woken() => Event::RenewalDue,
                () = until(next) => Event::RenewalDue,
            };
            match event {
                Event::Release(reply) => return self.give_back(reply.ok(), None).await,
                Event::Deadline => {
                    let loss = last_fault.take().map_or(Lost::Overslept, Lost::Unreachable);
                    return self.lose(loss, released).await;
                }
                Event::RenewalDue => {}
            }
            let renewal = tokio::select! {
                biased;
                () = until(deadline) => None,
                renewal = self.held.renew() => Some(renewal),
            };
            match renewal {
                // The deadline passed while we asked: Redis is too slow, which is as good as away.
                None => {
                    let fault = last_fault
                        .take()
                        .unwrap_or(Fault::Unreachable { cause: "no answer in time".to_owned() });
                    return self.lose(Lost::Unreachable(fault), released).await;
                }
                Some(Ok(Renewal::Lost(loss))) => return self.lose(loss, released).await,
                Some(Ok(kept)) => {
                    last_fault = None;
                    *self.shared.deadline.lock().unwrap_or_else(PoisonError::into_inner) =
                        deadline_of(&self.held, self.notice);
                    next = match kept {
                        Renewal::KeptForNow => Some(self.soon()),
                        _ => self.after_success(),
                    };
                }
                Some(Err(fault)) => {
                    tracing::debug!(%fault, "a renewal failed, trying again");
                    last_fault = Some(fault);
                    next = Some(self.soon());
                }
            }
        }
    }

    /// A third of the ttl after the last renewal, and no later than halfway to the deadline.
    fn after_success(&self) -> Option<Instant> {
        let now = Instant::now();
        let left = self.shared.deadline()?.saturating_duration_since(now);
        Some(now + (self.ttl? / 3).min(left / 2))
    }

    fn soon(&self) -> Instant {
        let pause =
            self.ttl.map_or(Duration::from_secs(1), |ttl| (ttl / 30).min(Duration::from_secs(1)));
        Instant::now() + pause.max(Duration::from_millis(5)).mul_f64(0.5 + fastrand::f64())
    }

    async fn lose(self, loss: Lost, released: oneshot::Receiver<ReleaseReply>) {
        self.lost.send_replace(Some(loss.clone()));
        // What is left of it is not given back before the holder says that it has stopped.
        let reply = released.await.ok();
        self.give_back(reply, Some(loss)).await;
    }

    async fn give_back(mut self, reply: Option<ReleaseReply>, loss: Option<Lost>) {
        let result = match (self.held.release().await, loss) {
            (_, Some(loss)) => Err(ReleaseError::Lost(loss)),
            (Ok(true), None) => Ok(()),
            (Ok(false), None) => Err(ReleaseError::Lost(Lost::TakenAway)),
            (Err(fault), None) => Err(ReleaseError::Fault(fault)),
        };
        match reply {
            // Nobody waits for the answer where the caller has gone.
            Some(reply) => drop(reply.send(result)),
            None => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a dropped lock was not given back");
                }
            }
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
