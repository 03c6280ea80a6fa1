//! Clients that try to take the server, each again and again, until they are dropped. What the server
//! does to them is no failure.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::ACQUIRE;

const LIMITS: &str = "/api/v2/concurrency_limits/";
/// For how long a client that does not read keeps its connection.
const UNREAD: Duration = Duration::from_secs(20);
/// How long a write to a server that reads no further is waited for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
const STREAM: &str = "GET /api/leasehold/events HTTP/1.1\r\nhost: localhost\r\naccept: \
                      text/event-stream\r\n\r\n";

/// A way to attack.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attack {
    UnreadStreams,
    UnreadSockets,
    Pipelines,
    SlowHeads,
    SlowBodies,
    Silence,
    LargeBodies,
    LargeEvents,
    Waiters,
    Refused,
    Nonsense,
    Edits,
}

/// Each with how many clients do it at once, and how long each pauses before it does it again.
const ATTACKS: [(Attack, usize, Duration); 12] = [
    (Attack::UnreadStreams, 400, Duration::from_secs(1)),
    (Attack::UnreadSockets, 100, Duration::from_secs(1)),
    (Attack::Pipelines, 345, Duration::from_secs(5)),
    (Attack::SlowHeads, 50, Duration::from_secs(1)),
    (Attack::SlowBodies, 50, Duration::from_secs(1)),
    (Attack::Silence, 383, Duration::from_secs(1)),
    (Attack::LargeBodies, 4, Duration::from_millis(500)),
    (Attack::LargeEvents, 4, Duration::from_millis(500)),
    (Attack::Waiters, 105, Duration::from_secs(1)),
    (Attack::Refused, 8, Duration::from_millis(50)),
    (Attack::Nonsense, 8, Duration::from_millis(50)),
    (Attack::Edits, 4, Duration::from_millis(100)),
];

/// All of them at work, until this is dropped.
pub(super) struct Attackers {
    _clients: JoinSet<()>,
    counts: Vec<(Attack, Arc<AtomicU64>)>,
}

impl Attackers {
    /// Sets all of them on a server. `full` is the name of a limit without a free slot.
    pub(super) fn start(host: &str, full: &'static str) -> Self {
        let (mut clients, mut counts) = (JoinSet::new(), Vec::new());
        for (attack, count, pause) in ATTACKS {
            let done = Arc::new(AtomicU64::new(0));
            counts.push((attack, done.clone()));
            for number in 0..count {
                let (host, done) = (host.to_owned(), done.clone());
                clients.spawn(async move {
                    // Not all in the same moment.
                    sleep(pause.mul_f64(number as f64 / count as f64)).await;
                    loop {
                        // The server may be gone, or may have had enough of this client.
                        let _ = attack.once(&host, full).await;
                        done.fetch_add(1, Ordering::Relaxed);
                        sleep(pause).await;
                    }
                });
            }
        }
        Self { _clients: clients, counts }
    }

    /// How often each was tried, for people.
    pub(super) fn summary(&self) -> String {
        let counts = self.counts.iter();
        let each =
            counts.map(|(attack, done)| format!("{} {attack:?}", done.load(Ordering::Relaxed)));
        each.collect::<Vec<_>>().join(", ")
    }
}

impl Attack {
    async fn once(self, host: &str, full: &str) -> io::Result<()> {
        let mut stream = TcpStream::connect(host).await?;
        let stream = &mut stream;
        match self {
            Self::UnreadStreams => {
                stream.write_all(STREAM.as_bytes()).await?;
                sleep(UNREAD).await;
            }
            Self::UnreadSockets => {
                upgrade(stream, "/api/events/out").await?;
                say(stream, &json!({"type": "filter", "filter": {}})).await?;
                sleep(UNREAD).await;
            }
            Self::Pipelines => {
                let many = "GET /api/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(50);
                let _ = timeout(WRITE_TIMEOUT, stream.write_all(many.as_bytes())).await;
                sleep(UNREAD).await;
            }
            Self::SlowHeads => slowly(stream, STREAM).await?,
            Self::SlowBodies => {
                slowly(stream, &request("POST", ACQUIRE, &"x".repeat(9_000))).await?;
            }
            Self::Silence => sleep(UNREAD).await,
            Self::LargeBodies => {
                let body = "x".repeat(2 << 20);
                let head = "POST /api/leases HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: \
                            chunked\r\n\r\n200000\r\n";
                let all = [head, &body].concat();
                let _ = timeout(WRITE_TIMEOUT, stream.write_all(all.as_bytes())).await;
            }
            Self::LargeEvents => {
                upgrade(stream, "/api/events/in").await?;
                for bytes in [900_000, 60_000, 60_000, 60_000] {
                    say(stream, &event(bytes)).await?;
                }
            }
            Self::Waiters => {
                let body = json!({"limits": [{"name": full}], "wait_seconds": 10});
                answered(stream, &request("POST", "/api/leases", &body.to_string())).await?;
            }
            Self::Refused => {
                let body = json!({"names": [full], "slots": 1}).to_string();
                answered(stream, &request("POST", ACQUIRE, &body)).await?;
            }
            Self::Nonsense => {
                answered(stream, &request("POST", ACQUIRE, "{\"names\": [[[[1e999")).await?;
            }
            Self::Edits => {
                let body = json!({"name": "edited", "limit": 1}).to_string();
                answered(stream, &request("POST", LIMITS, &body)).await?;
                let path = format!("{LIMITS}edited");
                let body = json!({"active": false, "limit": 7}).to_string();
                answered(stream, &request("PATCH", &path, &body)).await?;
                answered(stream, &request("DELETE", &path, "")).await?;
            }
        }
        Ok(())
    }
}

fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Sends a request and reads the beginning of its answer.
async fn answered(stream: &mut TcpStream, request: &str) -> io::Result<()> {
    stream.write_all(request.as_bytes()).await?;
    stream.read(&mut [0; 4_096]).await.map(drop)
}

/// Sends a text byte by byte, one every two seconds, until the server has had enough.
async fn slowly(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    for byte in text.bytes() {
        stream.write_u8(byte).await?;
        sleep(Duration::from_secs(2)).await;
    }
    Ok(())
}

/// Makes a WebSocket of a connection.
async fn upgrade(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: \
         websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: \
         dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    answered(stream, &request).await
}

/// Sends a message. Clients have to mask what they send; nothing is masked with a key of zeros.
async fn say(stream: &mut TcpStream, message: &Value) -> io::Result<()> {
    let text = message.to_string();
    let length = (text.len() as u64).to_be_bytes();
    let frame = [&[0x81, 0x80 | 127], &length[..], &[0; 4], text.as_bytes()].concat();
    stream.write_all(&frame).await
}

fn event(bytes: usize) -> Value {
    json!({
        "occurred": "2026-11-20T20:57:00Z",
        "event": "soak.happened",
        "resource": {"prefect.resource.id": "soak"},
        "related": [],
        "payload": {"text": "x".repeat(bytes)},
    })
}
