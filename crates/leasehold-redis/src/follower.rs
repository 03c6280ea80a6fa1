//! A process that follows the phase of its fleet: its heartbeat reports which phase it applies, and
//! learns of changes.
//!
//! Exclusion does not depend on the heartbeat. Every acquire and every renewal of a lock with one
//! half checks the phase in the script that writes the lock: Redis refuses a process that slept
//! through a change when it wakes. The heartbeat tells `advance` that Redis would refuse no
//! process.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::fault::Fault;
use crate::fleet::Description;
use crate::keys::Keys;
use crate::phase::{Mechanism, Phase, PhaseState};
use crate::redis_connection::Redis;
use crate::report::{Report, View};
use crate::scripts::HEARTBEAT;

/// How a process describes itself, and how often its heartbeat comes.
#[derive(Clone, Debug)]
pub struct FollowerOptions {
    /// A name for people: the program.
    pub name: String,
    /// The host that it runs on.
    pub host: String,
    /// The longest ttl of its locks, so that `advance` knows for how long to watch.
    pub longest_ttl: Duration,
    /// How often it sends a heartbeat.
    pub heartbeat: Duration,
    /// After how long without a heartbeat it counts as gone.
    pub gone_after: Duration,
}

impl FollowerOptions {
    /// A heartbeat every 2 s, gone after 10 s.
    #[must_use]
    pub fn new(name: impl Into<String>, host: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            host: host.into(),
            longest_ttl: Duration::from_secs(60),
            heartbeat: Duration::from_secs(2),
            gone_after: Duration::from_secs(10),
        }
    }
}

/// Follows the phase for all the locks of this process. Clones are the same follower; it leaves
/// with the last of them.
#[derive(Clone)]
pub struct Follower {
    inner: Arc<Inner>,
    beat: Arc<Beat>,
}

struct Beat {
    task: AbortHandle,
    inner: Arc<Inner>,
}

struct Inner {
    redis: Redis,
    keys: Keys,
    id: String,
    options: FollowerOptions,
    view: watch::Sender<View>,
    report: Mutex<Report>,
    wake: Notify,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = *self.inner.view.borrow();
        f.debug_struct("Follower").field("id", &self.inner.id).field("view", &view).finish()
    }
}

impl Follower {
    /// Reads the phase, sends the first heartbeat, and goes on sending heartbeats.
    ///
    /// # Errors
    /// When Redis cannot be asked, or the phase key holds no phase.
    pub async fn join(redis: &Redis, keys: Keys, options: FollowerOptions) -> Result<Self, Fault> {
        let inner = Arc::new(Inner {
            redis: redis.clone(),
            keys,
            id: uuid::Uuid::new_v4().simple().to_string(),
            options,
            view: watch::Sender::new(View { epoch: 0, phase: Phase::Token }),
            report: Mutex::new(Report::default()),
            wake: Notify::new(),
        });
        inner.read_phase().await?;
        inner.beat().await?;
        let beating = Arc::clone(&inner);
        let task = tokio::spawn(async move { beating.beat_forever().await }).abort_handle();
        let beat = Arc::new(Beat { task, inner: Arc::clone(&inner) });
        Ok(Self { inner, beat })
    }

    /// The phase that this process applies.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.inner.view.borrow().phase
    }

    /// The id under which it is listed.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Leaves the list of processes now, and not when the last heartbeat expires. For the end of a
    /// program: a follower that is dropped leaves in the background.
    ///
    /// # Errors
    /// When Redis cannot be asked; the heartbeat expires by itself.
    pub async fn leave(self) -> Result<(), Fault> {
        self.beat.task.abort();
        self.inner.leave().await
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.inner.redis
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// Reads the phase now instead of with the next heartbeat.
    pub(crate) async fn look(&self) -> Result<(), Fault> {
        self.inner.read_phase().await
    }

    pub(crate) fn begin_attempt(&self) -> Entry {
        let mut changes = self.inner.view.subscribe();
        let view = *changes.borrow_and_update();
        let number = self.inner.report().begin(view);
        Entry { follower: self.clone(), number, began_in: view.phase, changes }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.task.abort();
        let inner = Arc::clone(&self.inner);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // If this fails, the heartbeat expires by itself.
                let _ = inner.leave().await;
            });
        }
    }
}

impl Inner {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn leave(&self) -> Result<(), Fault> {
        let mut leave = redis::cmd("HDEL");
        leave.arg(self.keys.processes()).arg(&self.id);
        self.redis.query::<i64>(leave).await.map(|_| ())
    }

    async fn read_phase(&self) -> Result<(), Fault> {
        let PhaseState { epoch, phase, .. } = PhaseState::read(&self.redis, &self.keys).await?;
        self.update(View { epoch, phase });
        Ok(())
    }

    fn update(&self, seen: View) {
        self.view.send_if_modified(|view| {
            let is_news = seen != *view;
            *view = seen;
            is_news
        });
    }

    async fn beat_forever(&self) {
        loop {
            let pause = self.options.heartbeat.mul_f64(0.9 + 0.2 * fastrand::f64());
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(fault) = self.beat().await {
                tracing::debug!(%fault, "a heartbeat failed, trying again");
            }
        }
    }

    /// Reports what this process confirms, and learns the phase. After a change it reports again at
    /// once, so that the change is confirmed within one heartbeat.
    async fn beat(&self) -> Result<(), Fault> {
        for _ in 0..2 {
            let view = *self.view.borrow();
            let (confirmed, description) = self.describe(view);
            let keys = vec![self.keys.processes(), self.keys.phase()];
            let args = vec![
                self.id.clone(),
                self.options.gone_after.as_millis().to_string(),
                confirmed.to_string(),
                serde_json::to_string(&description).unwrap_or_default(),
            ];
            let (epoch, found): (u64, String) = self.redis.run(&HEARTBEAT, keys, args).await?;
            let Ok(phase) = found.parse() else {
                return Err(Fault::PhaseUnknown { key: self.keys.phase(), found });
            };
            if view == (View { epoch, phase }) {
                return Ok(());
            }
            self.update(View { epoch, phase });
        }
        Ok(())
    }

    fn describe(&self, view: View) -> (u64, Description) {
        let mut report = self.report();
        let description = Description {
            name: self.options.name.clone(),
            host: self.options.host.clone(),
            pid: std::process::id(),
            applies: view.phase.as_str().to_owned(),
            longest_ttl_ms: u64::try_from(self.options.longest_ttl.as_millis()).unwrap_or(u64::MAX),
            holding: report.holding(),
        };
        (report.confirm(view), description)
    }
}

/// One attempt or one held lock, in the report of its process until it is dropped.
pub(crate) struct Entry {
    follower: Follower,
    number: u64,
    began_in: Phase,
    changes: watch::Receiver<View>,
}

impl Entry {
    /// For an attempt, the phase in which it began; for a held lock, the phase of the fleet.
    pub(crate) fn phase(&self) -> Phase {
        let is_held = self.follower.inner.report().is_held(self.number);
        if is_held { self.follower.phase() } else { self.began_in }
    }

    pub(crate) fn holds(&self, id: &str, mechanism: Mechanism) {
        self.follower.inner.report().hold(self.number, id, mechanism);
        self.refresh();
    }

    /// Sends the next heartbeat now.
    pub(crate) fn refresh(&self) {
        self.follower.inner.wake.notify_one();
    }

    pub(crate) async fn phase_changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.follower.inner.report().end(self.number);
        self.refresh();
    }
}
