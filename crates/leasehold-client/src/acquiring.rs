//! The attempts of one acquire. All have the same key until there is an answer. If the caller drops
//! the acquire, its slots are given back.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use leasehold_api::leases::{Lease, NewLease, Renewal};
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::acquire::{Acquire, Wait};
use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::Error;
use crate::guard::{Guard, release};
use crate::keeper::renew_now;
use crate::transport::Call;
use crate::waiting::{LABEL, Observer, Watcher};

/// The longest that the server holds a request open.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// How long after its abandonment a request is asked for the last time: until then the server has
/// noticed that its client is gone.
const GONE_AFTER: Duration = Duration::from_secs(1);

impl IntoFuture for Acquire {
    type Output = Result<Guard, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Acquiring::new(self).run().await })
    }
}

/// An acquire that is under way.
struct Acquiring {
    acquire: Acquire,
    key: Key,
    started: Instant,
    /// Until when it waits for slots; `None` for ever.
    until: Option<Instant>,
    /// Whether the server has answered anything: its address is right.
    has_answered: bool,
}

/// The name of the request, which takes its lease back when it is dropped.
struct Key {
    client: Client,
    body: NewLease,
    /// Whether the server may have granted it.
    is_open: bool,
    /// Whether the caller chose it, and may ask again.
    is_callers: bool,
}

impl Acquiring {
    fn new(acquire: Acquire) -> Self {
        let started = Instant::now();
        let until = match acquire.wait {
            Wait::No => Some(started),
            // What no clock can count to is for ever.
            Wait::AtMost(wait) => started.checked_add(wait),
            Wait::Forever => None,
        };
        let key = Key::new(&acquire);
        Self { acquire, key, started, until, has_answered: false }
    }

    async fn run(mut self) -> Result<Guard, Error> {
        let Some(watcher) = self.acquire.watcher.take() else { return self.attempts().await };
        let observer = self.observer();
        watched(observer, watcher, self.attempts()).await
    }

    fn observer(&self) -> Observer {
        Observer {
            client: self.acquire.client.clone(),
            limits: self.acquire.limits.clone(),
            request: self.key.request().to_owned(),
            since: self.started,
        }
    }

    async fn attempts(&mut self) -> Result<Guard, Error> {
        let mut backoff = Backoff::default();
        loop {
            let sent_at = Instant::now();
            let error = match self.attempt().await {
                Ok((lease, is_new)) => match self.confirmed(lease, is_new, sent_at).await {
                    Ok(guard) => return Ok(guard),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.has_answered |= !matches!(error, Error::Unreachable { .. });
            let pause = match &error {
                // Its answer was lost, and it expired before the next attempt.
                Error::Ended(_) if !self.key.is_callers => {
                    self.key.renew();
                    Duration::ZERO
                }
                Error::Full(_) => {
                    self.key.is_open = false;
                    let asked = error.retry_after();
                    Backoff::default().next(asked, fastrand::f64())
                }
                error if error.is_outage() => {
                    // A connection that lasted for a while is no reason to wait.
                    if sent_at.elapsed() > Duration::from_secs(5) {
                        backoff = Backoff::default();
                    }
                    backoff.next(error.retry_after(), fastrand::f64())
                }
                _ => {
                    self.key.is_open = false;
                    return Err(error);
                }
            };
            if self.is_over_after(pause, &error) {
                return Err(error);
            }
            tracing::debug!(%error, ?pause, "asking for the lease again");
            sleep(pause).await;
        }
    }

    /// Whether there is no time for an attempt after `pause`.
    fn is_over_after(&self, pause: Duration, error: &Error) -> bool {
        let next = Instant::now() + pause;
        let is_waiting = self.until.is_none_or(|until| next < until);
        // A server that never answered is perhaps none: that is said soon.
        let is_trying = next < self.started + self.acquire.client.retry_for();
        match error {
            Error::Full(_) => !is_waiting,
            _ if self.has_answered => !is_waiting && !is_trying,
            _ => !is_trying,
        }
    }

    /// The lease, and whether this attempt was granted it, and none before.
    async fn attempt(&mut self) -> Result<(Lease, bool), Error> {
        let now = Instant::now();
        let left = self.until.map_or(WAIT_MAX, |until| until.saturating_duration_since(now));
        let wait = left.min(WAIT_MAX);
        self.key.body.wait_seconds = wait.as_secs_f64();
        self.key.is_open = true;
        self.key.ask(wait).await
    }

    /// A guard of a lease that was granted between `sent_at` and now. If that was long ago, a
    /// renewal says how long it lasts: the server counts from the grant, by a clock of its own.
    async fn confirmed(
        &mut self,
        lease: Lease,
        is_new: bool,
        sent_at: Instant,
    ) -> Result<Guard, Error> {
        let (ttl, notice) = (self.acquire.ttl, self.acquire.notice_or_default());
        let mut until = sent_at + ttl;
        let is_recent = Instant::now() + ttl / 2 + notice < until;
        if lease.deadline.is_some() && !(is_recent && is_new) {
            until = self.renewed(lease.id).await?;
        }
        self.key.is_open = false;
        Ok(Guard::new(&self.acquire.client, lease, ttl, notice, until))
    }

    async fn renewed(&mut self, id: Uuid) -> Result<Instant, Error> {
        let sent_at = Instant::now();
        let (client, ttl) = (&self.acquire.client, self.acquire.ttl);
        let renewals = renew_now(client.transport(), &[id], ttl, ttl / 2).await?;
        match renewals.leases.into_iter().next() {
            Some(Renewal::Ended(ended)) => Err(Error::Ended(Box::new(ended))),
            _ => Ok(sent_at + ttl),
        }
    }
}

async fn watched<T>(observer: Observer, watcher: Watcher, attempts: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = attempts => done,
        never = observer.observe(watcher) => match never {},
    }
}

impl Key {
    fn new(acquire: &Acquire) -> Self {
        let mut holder = acquire.holder.clone();
        let mut request = Uuid::new_v4().to_string();
        request.truncate(8);
        holder.labels.insert(LABEL.to_owned(), request);
        let body = NewLease {
            limits: acquire.limits.clone(),
            holder: Some(holder),
            ttl_seconds: acquire.ttl.as_secs_f64(),
            wait_seconds: 0.0,
            priority: acquire.priority,
            mode: acquire.mode,
            idempotency_key: acquire.key.clone().or_else(|| Some(Uuid::new_v4().to_string())),
            if_missing: acquire.if_missing,
        };
        let is_callers = acquire.key.is_some();
        Self { client: acquire.client.clone(), body, is_open: false, is_callers }
    }

    /// Another name for the same request.
    fn renew(&mut self) {
        self.body.idempotency_key = Some(Uuid::new_v4().to_string());
    }

    fn request(&self) -> &str {
        let labels = self.body.holder.as_ref().map(|holder| &holder.labels);
        labels.and_then(|labels| labels.get(LABEL)).map_or("", String::as_str)
    }

    async fn ask(&self, wait: Duration) -> Result<(Lease, bool), Error> {
        ask(&self.client, &self.body, wait).await
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if !self.is_open || self.is_callers {
            return;
        }
        // Without a runtime there is nothing to send it with: what was granted expires.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut body = self.body.clone();
        body.wait_seconds = 0.0;
        let client = self.client.clone();
        self.client.in_background(&runtime, async move { take_back(&client, &body).await });
    }
}

/// One attempt. `true` if it was granted, and not an earlier one.
async fn ask(client: &Client, body: &NewLease, wait: Duration) -> Result<(Lease, bool), Error> {
    let body = serde_json::to_vec(body)
        .map_err(|error| Error::Unwritable { detail: error.to_string() })?;
    let transport = client.transport();
    let call = Call {
        method: Method::POST,
        path: "/leases".to_owned(),
        body: Some(body.into()),
        headers: HeaderMap::new(),
        timeout: Some(wait.saturating_add(transport.timeout())),
    };
    let answer = transport.send(&call).await?;
    Ok((transport.read(&answer)?, answer.status == 201))
}

/// Releases what an abandoned request was granted, if it was. Its name finds the lease.
async fn take_back(client: &Client, body: &NewLease) {
    let until = Instant::now() + client.retry_for() + GONE_AFTER;
    let mut backoff = Backoff::default();
    let mut is_last = false;
    while Instant::now() < until {
        let pause = match ask(client, body, Duration::ZERO).await {
            Ok((lease, _)) => {
                if let Err(error) = release(client, lease.id).await {
                    tracing::debug!(%error, id = %lease.id, "an abandoned lease was not released");
                }
                return;
            }
            // The server may not have seen yet that its client is gone, and may grant it meanwhile.
            Err(Error::Full(_)) if !is_last => {
                is_last = true;
                GONE_AFTER
            }
            Err(error) if error.is_outage() => backoff.next(error.retry_after(), fastrand::f64()),
            Err(_) => return,
        };
        sleep(pause).await;
    }
}
