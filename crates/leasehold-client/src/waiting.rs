//! What a request that waits can say: its place, and what blocks it.

use std::convert::Infallible;
use std::time::Duration;

use leasehold_api::leases::{Waiter, WantedSlots};
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::error::Error;

/// The label by which a request finds itself among those that wait.
pub(crate) const LABEL: &str = "request";

/// The first look comes after this long: most requests do not wait.
const FIRST_AFTER: Duration = Duration::from_millis(300);
const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// What is called while a request waits.
pub(crate) type Watcher = Box<dyn FnMut(&Waiting) + Send>;

/// A request that waits.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Waiting {
    /// For how long it has waited.
    pub waited: Duration,
    /// Its place in the longest queue of its limits; the next request has place 1. `None` if it is
    /// in no queue at this moment.
    pub position: Option<u64>,
    /// The names of the limits that have no room for it.
    pub blocked_by: Vec<String>,
    /// Whether it waits in vain: its own holder has the slots, or holders wait for each other.
    pub is_stuck: bool,
    /// Why the server cannot be asked, if it cannot.
    pub trouble: Option<Error>,
}

/// Looks at the queues, and calls the watcher when something has changed.
pub(crate) struct Observer {
    pub(crate) client: Client,
    pub(crate) limits: Vec<WantedSlots>,
    /// The value of the label.
    pub(crate) request: String,
    pub(crate) since: Instant,
}

impl Observer {
    pub(crate) async fn observe(&self, mut watcher: Watcher) -> Infallible {
        sleep(FIRST_AFTER).await;
        let mut last: Option<Waiting> = None;
        loop {
            let waiting = self.look().await;
            let is_news = last.as_ref().is_none_or(|last| {
                let waited = last.waited;
                Waiting { waited, ..waiting.clone() } != *last
            });
            if is_news {
                watcher(&waiting);
                last = Some(waiting);
            }
            sleep(EVERY).await;
        }
    }

    async fn look(&self) -> Waiting {
        let mut waiting = Waiting::default();
        for limit in &self.limits {
            match timeout(PATIENCE, self.client.waiters(&limit.name)).await {
                Ok(Ok(waiters)) => waiting.learn(waiters.into_iter().find(|it| self.is_own(it))),
                Ok(Err(error)) => waiting.trouble = error.is_outage().then_some(error),
                Err(_) => {
                    let (url, cause) = (self.client.url().to_owned(), "no answer in time".into());
                    waiting.trouble = Some(Error::Unreachable { url, cause, is_unsent: false });
                }
            }
            if waiting.trouble.is_some() {
                break;
            }
        }
        waiting.waited = self.since.elapsed();
        waiting
    }

    fn is_own(&self, waiter: &Waiter) -> bool {
        waiter.labels.get(LABEL).is_some_and(|request| *request == self.request)
    }
}

impl Waiting {
    fn learn(&mut self, own: Option<Waiter>) {
        let Some(own) = own else { return };
        self.position = self.position.max(Some(own.position));
        self.is_stuck |= !own.stuck.is_empty();
        self.blocked_by = own.blocked_by;
    }
}
