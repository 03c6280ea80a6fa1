//! A process that follows the phase of its fleet: it tells which phase it applies, with a
//! heartbeat, and learns of changes.
//!
//! Exclusion does not hang on the heartbeat. Every acquire and every renewal of a lock with one
//! half checks the phase in the same script that writes the lock, so a process that slept through a
//! change is refused when it wakes. The heartbeat is how `advance` knows that nobody would be
//! refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::fault::Fault;
use crate::keys::Keys;
use crate::phase::{Mechanism, Phase, PhaseState};
use crate::redis_connection::Redis;
use crate::scripts::HEARTBEAT;

/// How a process introduces itself, and how often it is heard of.
#[derive(Clone, Debug)]
pub struct FollowerOptions {
    /// A name for people: the program.
    pub name: String,
    /// The host that it runs on.
    pub host: String,
    /// The longest ttl of its locks, so that `advance` knows for how long to watch.
    pub longest_ttl: Duration,
    /// How often it says that it is alive.
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

/// What a process tells about itself; the JSON in its heartbeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) applies: String,
    pub(crate) longest_ttl_ms: u64,
    pub(crate) holding: BTreeMap<String, String>,
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
    told: Mutex<Told>,
    wake: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct View {
    epoch: u64,
    phase: Phase,
}

#[derive(Default)]
struct Told {
    next: u64,
    confirmed: u64,
    entries: BTreeMap<u64, Doing>,
}

enum Doing {
    /// An attempt whose outcome is not known yet, begun in this epoch.
    Attempt {
        epoch: u64,
    },
    Holding {
        id: String,
        mechanism: Mechanism,
    },
}

impl Doing {
    /// Whether nobody in this phase, or in one beside it, could be let in beside us.
    fn fits(&self, view: View) -> bool {
        match self {
            Self::Attempt { epoch } => *epoch == view.epoch,
            Self::Holding { mechanism, .. } => match view.phase {
                Phase::Old => mechanism.has_old_half(),
                Phase::Dual => *mechanism == Mechanism::Dual,
                Phase::Token => mechanism.has_token_half(),
            },
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = *self.inner.view.borrow();
        f.debug_struct("Follower").field("id", &self.inner.id).field("view", &view).finish()
    }
}

impl Follower {
    /// Reads the phase, introduces this process, and goes on telling that it is alive.
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
            told: Mutex::new(Told::default()),
            wake: Notify::new(),
        });
        let state = inner.read_phase().await?;
        inner.saw(View { epoch: state.epoch, phase: state.phase });
        inner.beat().await?;
        let beating = Arc::clone(&inner);
        let task = tokio::spawn(async move { beating.keepbeating().await }).abort_handle();
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

    /// Leaves the list of processes at once, instead of when the last heartbeat has run out. For
    /// the end of a program: a follower that is dropped leaves in the background.
    ///
    /// # Errors
    /// When Redis cannot be asked; the heartbeat runs out by itself.
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
        let state = self.inner.read_phase().await?;
        self.inner.saw(View { epoch: state.epoch, phase: state.phase });
        Ok(())
    }

    pub(crate) fn begin_attempt(&self) -> Entry {
        let mut changes = self.inner.view.subscribe();
        let view = *changes.borrow_and_update();
        let mut told = self.inner.told();
        told.next += 1;
        let number = told.next;
        told.entries.insert(number, Doing::Attempt { epoch: view.epoch });
        drop(told);
        Entry { follower: self.clone(), number, began_in: view.phase, changes }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.task.abort();
        let inner = Arc::clone(&self.inner);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Best effort: the heartbeat runs out by itself.
                let _ = inner.leave().await;
            });
        }
    }
}

impl Inner {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn leave(&self) -> Result<(), Fault> {
        let mut leave = redis::cmd("HDEL");
        leave.arg(self.keys.processes()).arg(&self.id);
        self.redis.query::<i64>(leave).await.map(|_| ())
    }

    async fn read_phase(&self) -> Result<PhaseState, Fault> {
        read_phase(&self.redis, &self.keys).await
    }

    fn saw(&self, seen: View) {
        self.view.send_if_modified(|view| {
            let is_news = seen != *view;
            *view = seen;
            is_news
        });
    }

    async fn keepbeating(&self) {
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

    /// Says what we confirm, and learns the phase. Asked again at once when the phase is news, so
    /// that a change is confirmed within one heartbeat.
    async fn beat(&self) -> Result<(), Fault> {
        for _ in 0..2 {
            let view = *self.view.borrow();
            let (confirmed, description) = self.describe(view);
            let answer = self
                .redis
                .run(
                    &HEARTBEAT,
                    vec![self.keys.processes(), self.keys.phase()],
                    vec![
                        self.id.clone(),
                        self.options.gone_after.as_millis().to_string(),
                        confirmed.to_string(),
                        serde_json::to_string(&description).unwrap_or_default(),
                    ],
                )
                .await?;
            let seen = read_view(&answer)?;
            if seen == view {
                return Ok(());
            }
            self.saw(seen);
        }
        Ok(())
    }

    fn describe(&self, view: View) -> (u64, Description) {
        let mut told = self.told();
        if told.entries.values().all(|doing| doing.fits(view)) {
            told.confirmed = view.epoch;
        }
        let holding = told.entries.values().filter_map(|doing| match doing {
            Doing::Holding { id, mechanism } => Some((id.clone(), mechanism.as_str().to_owned())),
            Doing::Attempt { .. } => None,
        });
        let description = Description {
            name: self.options.name.clone(),
            host: self.options.host.clone(),
            pid: std::process::id(),
            applies: view.phase.as_str().to_owned(),
            longest_ttl_ms: u64::try_from(self.options.longest_ttl.as_millis()).unwrap_or(u64::MAX),
            holding: holding.collect(),
        };
        (told.confirmed, description)
    }
}

/// The phase as it is now.
pub(crate) async fn read_phase(redis: &Redis, keys: &Keys) -> Result<PhaseState, Fault> {
    let mut get = redis::cmd("GET");
    get.arg(keys.phase());
    let raw: Option<String> = redis.query(get).await?;
    match raw {
        None => Ok(PhaseState::absent()),
        Some(raw) => PhaseState::parse(&raw).ok_or_else(|| {
            Fault::unexpected(format!("{} holds {raw:?}, which is no phase", keys.phase()))
        }),
    }
}

fn read_view(answer: &Value) -> Result<View, Fault> {
    if let Value::Array(fields) = answer
        && let [Value::Int(epoch), Value::BulkString(phase)] = fields.as_slice()
        && let Ok(phase) = String::from_utf8_lossy(phase).parse()
        && let Ok(epoch) = u64::try_from(*epoch)
    {
        return Ok(View { epoch, phase });
    }
    Err(Fault::unexpected(format!("the phase key holds no phase: {answer:?}")))
}

/// One attempt or one held lock, in what its process tells.
pub(crate) struct Entry {
    follower: Follower,
    number: u64,
    began_in: Phase,
    changes: watch::Receiver<View>,
}

impl Entry {
    /// For an attempt the phase that it began in; later the phase of the fleet.
    pub(crate) fn phase(&self) -> Phase {
        let held = matches!(
            self.follower.inner.told().entries.get(&self.number),
            Some(Doing::Holding { .. })
        );
        if held { self.follower.phase() } else { self.began_in }
    }

    pub(crate) fn holds(&self, id: &str, mechanism: Mechanism) {
        let doing = Doing::Holding { id: id.to_owned(), mechanism };
        self.follower.inner.told().entries.insert(self.number, doing);
        self.follower.inner.wake.notify_one();
    }

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
        self.follower.inner.told().entries.remove(&self.number);
        self.follower.inner.wake.notify_one();
    }
}
