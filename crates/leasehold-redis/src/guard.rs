//! A guard: it renews what its holder has, reports the loss, and releases on drop.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::fault::Fault;

/// Why a guard lost what it held. A loss and an unreachable Redis are different things: D28.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// Redis has another value or none in its place: another holder took it, or it was deleted.
    #[error("another holder has taken the lock, or its key was deleted")]
    TakenAway,
    /// Redis did not answer for so long that the lock is about to expire.
    #[error("the lock could not be renewed in time: {0}")]
    Unreachable(Fault),
    /// This process did not run for longer than the lock lasts.
    #[error("this process was paused for longer than the lock lasts")]
    Overslept,
    /// An operator forced the fleet into a phase in which this mechanism excludes no one.
    #[error("the fleet was moved to phase {phase}, in which this lock protects nothing")]
    PhaseMoved {
        /// The phase that it is in now.
        phase: String,
    },
    /// A system lock on the semaphore stops every renewal.
    #[error("a system lock on the semaphore stops its renewal")]
    SystemLock,
}

/// Why a release failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It was lost before the release: what it protected was unprotected for a while.
    #[error("the lock was lost before it was released: {0}")]
    Lost(Lost),
    /// Redis may not have released it; it expires by itself.
    #[error("the lock may not have been released; it expires by itself: {0}")]
    Fault(Fault),
}

/// The outcome of a renewal that got an answer.
pub(crate) enum Renewal {
    Kept,
    /// Still held; the next renewal has to come early.
    KeptForNow,
    Lost(Lost),
}

/// Something held on Redis that a guard renews.
pub(crate) trait Held: Send + 'static {
    /// Until when it is ours at least; `None` without a ttl.
    fn until(&self) -> Option<Instant>;
    fn renew(&mut self) -> impl Future<Output = Result<Renewal, Fault>> + Send;
    /// Resolves when the phase has changed, so that a renewal has to come early.
    fn woken(&mut self) -> impl Future<Output = ()> + Send;
    /// Releases it; `false` if it was no longer ours.
    fn release(&mut self) -> impl Future<Output = Result<bool, Fault>> + Send;
}

/// The longest notice that a guard takes by default: a tenth of the ttl, and this at most. It also
/// covers peers whose clocks are ahead of Redis's.
const NOTICE_MAX: Duration = Duration::from_secs(1);

type ReleaseReply = oneshot::Sender<Result<(), ReleaseError>>;

/// A lock or a slot of a semaphore that is held. It renews itself in the background at a third of
/// its ttl. [`lost`](Self::lost) resolves by `notice` before another holder can take it. Dropped,
/// it is released in the background; before the end of a program, call [`release`](Self::release).
pub struct Guard {
    state: watch::Receiver<State>,
    release: Option<oneshot::Sender<ReleaseReply>>,
    #[cfg(test)]
    task: tokio::task::AbortHandle,
}

/// What the keeper knows and the guard shows.
struct State {
    /// From then on the holder must not rely on it; `None` without a ttl.
    deadline: Option<Instant>,
    lost: Option<Lost>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("held", &self.is_held()).finish()
    }
}

impl Guard {
    /// Starts to renew `held`. `notice` is how long before its end it counts as lost. `None` if it
    /// has ended already; then it is released.
    pub(crate) fn start<H: Held>(
        held: H,
        ttl: Option<Duration>,
        notice: Option<Duration>,
    ) -> Option<Self> {
        let half = ttl.unwrap_or(Duration::ZERO) / 2;
        let notice = notice.unwrap_or((half / 5).min(NOTICE_MAX)).min(half);
        let (sender, state) =
            watch::channel(State { deadline: deadline_of(&held, notice), lost: None });
        let (release, released) = oneshot::channel();
        let task = tokio::spawn(Keeper { held, state: sender, ttl, notice }.run(released));
        #[cfg(not(test))]
        drop(task);
        let guard = Self {
            state,
            release: Some(release),
            #[cfg(test)]
            task: task.abort_handle(),
        };
        guard.is_held().then_some(guard)
    }

    /// Whether the lock is held at this instant, as far as this process can know.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let state = self.state.borrow();
        state.lost.is_none() && state.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }

    /// How long the holder can go on if Redis answers nothing more; `None` without a ttl.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.held_until()?.saturating_duration_since(Instant::now()))
    }

    /// Until when the holder can go on if Redis answers nothing more; `None` without a ttl. It can
    /// be in the past.
    #[must_use]
    pub fn held_until(&self) -> Option<Instant> {
        self.state.borrow().deadline
    }

    /// Resolves when the lock is lost, and not before. Can be dropped and called again.
    pub async fn lost(&self) -> Lost {
        let mut state = self.state.clone();
        match state.wait_for(|state| state.lost.is_some()).await {
            Ok(state) => state.lost.clone().unwrap_or(Lost::TakenAway),
            // The keeper ends without a loss only at the end of the runtime.
            Err(_) => Lost::Overslept,
        }
    }

    /// Releases the lock, and waits until that is done.
    ///
    /// # Errors
    /// When the lock was lost before, or Redis cannot be reached.
    pub async fn release(mut self) -> Result<(), ReleaseError> {
        let (reply, answer) = oneshot::channel();
        if let Some(release) = self.release.take() {
            // A keeper that has ended drops the reply, which the next line sees.
            let _ = release.send(reply);
        }
        answer.await.unwrap_or(Err(ReleaseError::Lost(Lost::Overslept)))
    }

    /// As if the process had crashed: no release and no renewal.
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
    state: watch::Sender<State>,
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
            let deadline = self.deadline();
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
                // The deadline passed before Redis answered.
                None => {
                    let fault = last_fault
                        .take()
                        .unwrap_or(Fault::Unreachable { cause: "no answer in time".to_owned() });
                    return self.lose(Lost::Unreachable(fault), released).await;
                }
                Some(Ok(Renewal::Lost(loss))) => return self.lose(loss, released).await,
                Some(Ok(kept)) => {
                    last_fault = None;
                    let deadline = deadline_of(&self.held, self.notice);
                    // A renewal wakes no one.
                    self.state.send_if_modified(|state| {
                        state.deadline = deadline;
                        false
                    });
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

    fn deadline(&self) -> Option<Instant> {
        self.state.borrow().deadline
    }

    /// A third of the ttl after the last renewal, and no later than halfway to the deadline.
    fn after_success(&self) -> Option<Instant> {
        let now = Instant::now();
        let left = self.deadline()?.saturating_duration_since(now);
        Some(now + (self.ttl? / 3).min(left / 2))
    }

    fn soon(&self) -> Instant {
        let pause =
            self.ttl.map_or(Duration::from_secs(1), |ttl| (ttl / 30).min(Duration::from_secs(1)));
        Instant::now() + pause.max(Duration::from_millis(5)).mul_f64(0.5 + fastrand::f64())
    }

    async fn lose(self, loss: Lost, released: oneshot::Receiver<ReleaseReply>) {
        self.state.send_modify(|state| state.lost = Some(loss.clone()));
        // What is left of it is not released before the holder says that it has stopped.
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
            // A caller that is gone does not read the answer.
            Some(reply) => drop(reply.send(result)),
            None => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a dropped lock was not released");
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
