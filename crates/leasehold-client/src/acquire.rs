//! How a lease is asked for: which slots, for whom, and for how long to wait.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use leasehold_api::leases::{IfMissing, Mode, NewHolder, WantedSlots};

use crate::client::Client;
use crate::holder;
use crate::waiting::{Waiting, Watcher};

const TTL: Duration = Duration::from_secs(60);
/// The longest notice that a guard takes by default: a tenth of the ttl, and this at most.
const NOTICE_MAX: Duration = Duration::from_secs(1);

/// Whether an acquire waits for slots that are not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// For so long.
    AtMost(Duration),
    /// Until there are slots.
    Forever,
}

impl From<Duration> for Wait {
    fn from(span: Duration) -> Self {
        if span.is_zero() { Self::No } else { Self::AtMost(span) }
    }
}

impl Client {
    /// A request for one slot of a limit. Add further limits with [`Acquire::and`], and await it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use leasehold_client::{Client, Wait};
    /// use std::time::Duration;
    ///
    /// let client = Client::from_env()?;
    /// let guard = client.acquire("database").and("gpu", 2).wait(Wait::Forever).await?;
    /// tokio::select! {
    ///     () = work() => { guard.release().await?; }
    ///     lost = guard.lost() => eprintln!("stopping: {lost}"),
    /// }
    /// # Ok(())
    /// # }
    /// # async fn work() {}
    /// ```
    pub fn acquire(&self, limit: impl Into<String>) -> Acquire {
        Acquire::new(self.clone(), limit.into())
    }
}

/// A request for slots of one or more limits: all of them or none. Await it to get a
/// [`Guard`](crate::Guard).
///
/// It is sent with a key of its own, and sent again with that key when an answer was lost: a lost
/// answer costs no slot. Dropped while it waits, it leaves the queue, and gives back what the
/// server may have granted at that moment; with a key of the caller it gives nothing back.
#[must_use = "nothing is asked for before it is awaited"]
pub struct Acquire {
    pub(crate) client: Client,
    pub(crate) limits: Vec<WantedSlots>,
    pub(crate) holder: NewHolder,
    pub(crate) ttl: Duration,
    pub(crate) notice: Option<Duration>,
    pub(crate) wait: Wait,
    pub(crate) priority: i32,
    pub(crate) mode: Mode,
    pub(crate) key: Option<String>,
    pub(crate) if_missing: IfMissing,
    pub(crate) watcher: Option<Watcher>,
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Acquire");
        shown.field("limits", &self.limits).field("wait", &self.wait).finish_non_exhaustive()
    }
}

impl Acquire {
    fn new(client: Client, limit: String) -> Self {
        Self {
            client,
            limits: vec![WantedSlots { name: limit, slots: 1 }],
            holder: holder::this_process(),
            ttl: TTL,
            notice: None,
            wait: Wait::No,
            priority: 0,
            mode: Mode::Concurrency,
            key: None,
            if_missing: IfMissing::Error,
            watcher: None,
        }
    }

    /// How many slots of the limit that was named last; 1 unless it is set.
    pub fn slots(mut self, slots: u64) -> Self {
        if let Some(last) = self.limits.last_mut() {
            last.slots = slots;
        }
        self
    }

    /// Slots of a further limit.
    pub fn and(mut self, limit: impl Into<String>, slots: u64) -> Self {
        self.limits.push(WantedSlots { name: limit.into(), slots });
        self
    }

    /// How long the lease lasts without a renewal: at least a second, 60 s unless it is set. When
    /// this process dies, its slots are free after this time at the latest.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long before its end a lease that cannot be renewed counts as lost: what the holder needs
    /// to stop. A tenth of the ttl and a second at most unless it is set; never more than half of
    /// the ttl.
    pub fn notice(mut self, notice: Duration) -> Self {
        self.notice = Some(notice);
        self
    }

    /// How long to wait for slots that are not free; not at all unless it is set.
    pub fn wait(mut self, wait: impl Into<Wait>) -> Self {
        self.wait = wait.into();
        self
    }

    /// Requests with a higher priority are granted first; 0 unless it is set.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Who holds the lease; `process` and `HOST:PID` unless it is set. A holder that waits for
    /// itself is reported.
    pub fn holder(mut self, kind: impl Into<String>, id: impl Into<String>) -> Self {
        self.holder.kind = kind.into();
        self.holder.id = id.into();
        self
    }

    /// A word for people who look at the lease.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.holder.labels.insert(name.into(), value.into());
        self
    }

    /// Words for people who look at the lease.
    pub fn labels(mut self, labels: BTreeMap<String, String>) -> Self {
        self.holder.labels.extend(labels);
        self
    }

    /// The name of this request, if it is to survive this process: another process that sends the
    /// same request with the same name gets the same lease. A random one unless it is set.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Leaves out limits that do not exist, as Prefect's clients do. Without it they are an error.
    pub fn skip_missing(mut self) -> Self {
        self.if_missing = IfMissing::Skip;
        self
    }

    /// Calls `watcher` while the request waits: soon after it began to, and whenever its position,
    /// what blocks it, or whether the server can be reached has changed.
    pub fn on_waiting(mut self, watcher: impl FnMut(&Waiting) + Send + 'static) -> Self {
        self.watcher = Some(Box::new(watcher));
        self
    }

    pub(crate) fn notice_or_default(&self) -> Duration {
        let half = self.ttl / 2;
        self.notice.unwrap_or((half / 5).min(NOTICE_MAX)).min(half)
    }
}
