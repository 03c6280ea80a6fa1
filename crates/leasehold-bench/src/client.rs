//! One keep-alive connection, as cheap as a client can be: it shares the machine with the
//! server that it measures.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const CREATE: &str = "/api/v2/concurrency_limits/";
const INCREMENT: &str = "/api/v2/concurrency_limits/increment";
const ACQUIRE: &str = "/api/v2/concurrency_limits/increment-with-lease";
const RELEASE: &str = "/api/v2/concurrency_limits/decrement-with-lease";

/// A connection to a server.
pub(crate) struct Client {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

/// A lease, as far as a cycle needs it.
#[derive(Deserialize)]
pub(crate) struct Lease {
    lease_id: String,
}

impl Client {
    pub(crate) async fn connect(host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host).await.with_context(|| host.to_owned())?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { host: host.to_owned(), sender })
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    pub(crate) async fn create_limit(
        &mut self,
        name: &str,
        limit: u64,
        slots_per_second: f64,
    ) -> anyhow::Result<()> {
        let body = json!({"name": name, "limit": limit, "slot_decay_per_second": slots_per_second});
        let (status, answer) = self.post(CREATE, body.to_string()).await?;
        ensure!(status == StatusCode::CREATED, "{status}: {answer:?}");
        Ok(())
    }

    /// Takes a slot under a lease. The echo server's answer is what was sent, so it is sent
    /// the lease that it is to answer.
    pub(crate) async fn acquire(&mut self, body: &Bytes) -> anyhow::Result<Lease> {
        let (status, answer) = self.post(ACQUIRE, body.clone()).await?;
        ensure!(status == StatusCode::OK, "{status}: {answer:?}");
        Ok(serde_json::from_slice(&answer)?)
    }

    pub(crate) async fn release(&mut self, lease: &Lease) -> anyhow::Result<()> {
        let body = format!(r#"{{"lease_id":"{}"}}"#, lease.lease_id);
        let (status, answer) = self.post(RELEASE, body).await?;
        ensure!(status.is_success(), "{status}: {answer:?}");
        Ok(())
    }

    /// One attempt at a rate limit: whether it was granted.
    pub(crate) async fn try_rate_limit(&mut self, body: &Bytes) -> anyhow::Result<bool> {
        let (status, answer) = self.post(INCREMENT, body.clone()).await?;
        ensure!(status == StatusCode::OK || status == StatusCode::LOCKED, "{status}: {answer:?}");
        Ok(status == StatusCode::OK)
    }
}

/// What a client sends to take one slot of a limit. `lease_id` is for the echo server alone;
/// Leasehold ignores a field that it does not know.
pub(crate) fn acquire_body(limit: &str) -> Bytes {
    let body: Value = json!({
        "names": [limit],
        "slots": 1,
        "mode": "concurrency",
        "lease_duration": 300.0,
        "lease_id": "00000000-0000-4000-8000-000000000000",
    });
    body.to_string().into()
}
