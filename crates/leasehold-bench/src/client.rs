//! A client with one keep-alive connection, as cheap as possible: it shares the machine with the
//! server that it measures.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;

pub(crate) const CREATE: &str = "/api/v2/concurrency_limits/";
const INCREMENT: &str = "/api/v2/concurrency_limits/increment";
pub(crate) const ACQUIRE: &str = "/api/v2/concurrency_limits/increment-with-lease";
pub(crate) const RELEASE: &str = "/api/v2/concurrency_limits/decrement-with-lease";

/// A connection to a server.
pub(crate) struct Client {
    host: String,
    sender: SendRequest<Full<Bytes>>,
    /// The `Retry-After` of the last answer.
    retry_after: Duration,
}

/// A lease, as far as a cycle needs it.
#[derive(Deserialize)]
pub(crate) struct Lease {
    lease_id: String,
}

#[derive(Deserialize)]
struct Limit {
    active_slots: u64,
}

impl Client {
    pub(crate) async fn connect(host: &str) -> anyhow::Result<Self> {
        let sender = connected(host).await?;
        Ok(Self { host: host.to_owned(), sender, retry_after: Duration::ZERO })
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        self.send(Method::POST, path, body.into()).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        if self.sender.ready().await.is_err() {
            // A server may close the connection after an answer.
            self.sender = connected(&self.host).await?;
        }
        let response = self.sender.send_request(request).await.map_err(|_| Unavailable)?;
        let status = response.status();
        let asked = response.headers().get(header::RETRY_AFTER);
        let seconds = asked.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        self.retry_after = Duration::from_secs_f64(seconds.unwrap_or(0.0));
        let body = response.into_body().collect().await.map_err(|_| Unavailable)?;
        Ok((status, body.to_bytes()))
    }

    pub(crate) async fn create_limit(
        &mut self,
        name: &str,
        limit: u64,
        slots_per_second: f64,
    ) -> anyhow::Result<()> {
        succeeded(self.post(CREATE, create_body(name, limit, slots_per_second)).await?)?;
        Ok(())
    }

    /// Takes a slot under a lease. The echo server returns the body that it receives, so the body
    /// contains a lease.
    pub(crate) async fn acquire(&mut self, body: &Bytes) -> anyhow::Result<Lease> {
        let answer = succeeded(self.post(ACQUIRE, body.clone()).await?)?;
        Ok(serde_json::from_slice(&answer)?)
    }

    pub(crate) async fn release(&mut self, lease: &Lease) -> anyhow::Result<()> {
        let body = format!(r#"{{"lease_id":"{}"}}"#, lease.lease_id);
        succeeded(self.post(RELEASE, body).await?)?;
        Ok(())
    }

    /// Whether at least `count` requests wait for a limit.
    pub(crate) async fn has_waiters(&mut self, name: &str, count: usize) -> anyhow::Result<bool> {
        let last = count.saturating_sub(1);
        let path = format!("{CREATE}{name}/waiters?limit=1&offset={last}");
        let waiters: Vec<Value> = self.read(&path).await?;
        Ok(!waiters.is_empty())
    }

    /// How many slots of a limit are held.
    pub(crate) async fn active_slots(&mut self, name: &str) -> anyhow::Result<u64> {
        let limit: Limit = self.read(&format!("{CREATE}{name}")).await?;
        Ok(limit.active_slots)
    }

    async fn read<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<T> {
        Ok(serde_json::from_slice(&succeeded(self.get(path).await?)?)?)
    }

    /// One attempt at a rate limit.
    pub(crate) async fn try_rate_limit(&mut self, body: &Bytes) -> anyhow::Result<Attempt> {
        self.attempt(INCREMENT, body).await.map(|(attempt, _)| attempt)
    }

    /// One attempt at a slot under a lease. The server may hold a retry open.
    pub(crate) async fn try_acquire(&mut self, body: &Bytes) -> anyhow::Result<Option<Lease>> {
        match self.attempt(ACQUIRE, body).await? {
            (Attempt::Granted, answer) => Ok(Some(serde_json::from_slice(&answer)?)),
            (Attempt::Refused, _) => Ok(None),
            (Attempt::Unavailable, _) => Err(Unavailable.into()),
        }
    }

    /// Sleeps for the `Retry-After` of the last answer.
    pub(crate) async fn sleep_as_asked(&self) {
        tokio::time::sleep(self.retry_after).await;
    }

    async fn attempt(&mut self, path: &str, body: &Bytes) -> anyhow::Result<(Attempt, Bytes)> {
        let (status, answer) = match self.post(path, body.clone()).await {
            Err(error) if error.is::<Unavailable>() => {
                return Ok((Attempt::Unavailable, Bytes::new()));
            }
            answered => answered?,
        };
        let attempt = match status {
            StatusCode::OK => Attempt::Granted,
            StatusCode::LOCKED => Attempt::Refused,
            StatusCode::SERVICE_UNAVAILABLE => Attempt::Unavailable,
            _ => bail!("{status}: {answer:?}"),
        };
        Ok((attempt, answer))
    }
}

async fn connected(host: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(host).await.with_context(|| host.to_owned())?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

pub(crate) fn succeeded((status, answer): (StatusCode, Bytes)) -> anyhow::Result<Bytes> {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Err(Unavailable.into());
    }
    ensure!(status.is_success(), "{status}: {answer:?}");
    Ok(answer)
}

/// The server answered 503, or hung up.
#[derive(Debug)]
pub(crate) struct Unavailable;

impl Display for Unavailable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the server answered 503 or hung up")
    }
}

impl Error for Unavailable {}

/// The outcome of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Granted,
    Refused,
    /// The server answered 503, or hung up.
    Unavailable,
}

/// The body that creates a limit.
pub(crate) fn create_body(name: &str, limit: u64, slots_per_second: f64) -> Bytes {
    let body = json!({"name": name, "limit": limit, "slot_decay_per_second": slots_per_second});
    body.to_string().into()
}

/// The body that takes one slot of a limit for five minutes.
pub(crate) fn acquire_body(limit: &str) -> Bytes {
    acquire_for(limit, 300.0)
}

/// As [`acquire_body`], with a holder of its own. Clients without one and with the same request can
/// get each other's places in the queue.
pub(crate) fn acquire_body_of(client: usize, limit: &str) -> Bytes {
    let mut body = acquire_json(limit, 300.0);
    let id = format!("00000000-0000-4000-8000-{client:012}");
    body["holder"] = json!({"type": "task_run", "id": id});
    body.to_string().into()
}

/// The body that takes one slot of a limit for some seconds.
pub(crate) fn acquire_for(limit: &str, seconds: f64) -> Bytes {
    acquire_json(limit, seconds).to_string().into()
}

/// `lease_id` is only for the echo server. Leasehold ignores unknown fields.
fn acquire_json(limit: &str, seconds: f64) -> Value {
    json!({
        "names": [limit],
        "slots": 1,
        "mode": "concurrency",
        "lease_duration": seconds,
        "lease_id": "00000000-0000-4000-8000-000000000000",
    })
}
