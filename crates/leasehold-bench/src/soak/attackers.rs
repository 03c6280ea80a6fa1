//! Clients that attack the server, each again and again, until they are dropped. It is no failure
//! if the server refuses them or hangs up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::{ACQUIRE, CREATE};

/// How long a client that does not read keeps its connection.
const UNREAD: Duration = Duration::from_secs(20);
/// How long a client waits for a write if the server stops reading.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
const STREAM: &str = "GET /api/leasehold/events HTTP/1.1\r\nhost: localhost\r\naccept: \
                      text/event-stream\r\n\r\n";

const PAGE: &str = "GET /api/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// What a client does on a connection.
#[derive(Clone, Copy)]
enum Manner {
    /// Sends all, and reads the beginning of an answer.
    Reads,
    /// Sends all, and reads nothing.
    Ignores,
    /// Sends a byte every two seconds.
    Dawdles,
}

/// A kind of attack.
struct Attack {
    name: &'static str,
    /// How many clients do it at once.
    count: usize,
    /// How long each pauses before it attacks again.
    pause_ms: u64,
    manner: Manner,
    bytes: Vec<u8>,
}

/// All attackers at work, until this is dropped.
pub(super) struct Attackers {
    _clients: JoinSet<()>,
    counts: Vec<(&'static str, Arc<AtomicU64>)>,
}

impl Attackers {
    /// Starts a fraction of them against a server. `full` is the name of a limit without a free
    /// slot.
    pub(super) fn start(host: &str, full: &str, part: f64) -> Self {
        let (mut clients, mut counts) = (JoinSet::new(), Vec::new());
        for attack in attacks(full).map(Arc::new) {
            let done = Arc::new(AtomicU64::new(0));
            counts.push((attack.name, done.clone()));
            let count = (attack.count as f64 * part).ceil();
            for number in 0..count as usize {
                let (host, attack, done) = (host.to_owned(), attack.clone(), done.clone());
                clients.spawn(async move {
                    let pause = Duration::from_millis(attack.pause_ms);
                    // They do not all start at the same moment.
                    sleep(pause.mul_f64(number as f64 / count)).await;
                    loop {
                        // The server may be down, or may have hung up.
                        let _ = attack.once(&host).await;
                        done.fetch_add(1, Ordering::Relaxed);
                        sleep(pause).await;
                    }
                });
            }
        }
        Self { _clients: clients, counts }
    }

    /// How often each attack was tried, for people.
    pub(super) fn summary(&self) -> String {
        let each =
            |(name, done): &(_, Arc<AtomicU64>)| format!("{} {name}", done.load(Ordering::Relaxed));
        self.counts.iter().map(each).collect::<Vec<_>>().join(", ")
    }
}

impl Attack {
    async fn once(&self, host: &str) -> io::Result<()> {
        let mut stream = TcpStream::connect(host).await?;
        if let Manner::Dawdles = self.manner {
            for &byte in &self.bytes {
                stream.write_u8(byte).await?;
                sleep(Duration::from_secs(2)).await;
            }
        }
        // The server may stop reading.
        let _ = timeout(WRITE_TIMEOUT, stream.write_all(&self.bytes)).await;
        match self.manner {
            Manner::Reads => stream.read(&mut [0; 4_096]).await.map(drop),
            Manner::Ignores | Manner::Dawdles => {
                sleep(UNREAD).await;
                Ok(())
            }
        }
    }
}

fn attacks(full: &str) -> [Attack; 12] {
    let attack = |name, count, pause_ms, manner, bytes: Vec<u8>| Attack {
        name,
        count,
        pause_ms,
        manner,
        bytes,
    };
    let acquire = |body: &str| request("POST", ACQUIRE, body);
    let waiting = json!({"limits": [{"name": full}], "wait_seconds": 10}).to_string();
    let edited = format!("{CREATE}edited");
    let edits = [
        request("POST", CREATE, r#"{"name": "edited", "limit": 1}"#),
        request("PATCH", &edited, r#"{"active": false, "limit": 7}"#),
        request("DELETE", &edited, ""),
    ];
    let chunked = "POST /api/leases HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: \
                   chunked\r\n\r\n200000\r\n";
    let subscription = message(&json!({"type": "filter", "filter": {}}));
    let events = [900_000, 60_000, 60_000, 60_000].map(|bytes| message(&event(bytes))).concat();
    use Manner::{Dawdles, Ignores, Reads};
    [
        attack("unread streams", 400, 1_000, Ignores, STREAM.into()),
        attack("unread sockets", 100, 1_000, Ignores, upgrade("out", &subscription)),
        attack("unread pipelines", 345, 5_000, Ignores, PAGE.repeat(50).into()),
        attack("silent connections", 383, 1_000, Ignores, Vec::new()),
        attack("slow heads", 50, 1_000, Dawdles, STREAM.into()),
        attack("slow bodies", 50, 1_000, Dawdles, acquire(&"x".repeat(9_000))),
        attack("large bodies", 4, 500, Reads, [chunked.as_bytes(), &vec![b'x'; 2 << 20]].concat()),
        attack("large events", 4, 500, Reads, upgrade("in", &events)),
        attack("waiters", 105, 1_000, Reads, request("POST", "/api/leases", &waiting)),
        attack(
            "refused requests",
            8,
            50,
            Reads,
            acquire(&format!(r#"{{"names": ["{full}"], "slots": 1}}"#)),
        ),
        attack("nonsense", 8, 50, Reads, acquire("{\"names\": [[[[1e999")),
        attack("edits", 4, 100, Reads, edits.concat()),
    ]
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")
        .into()
}

/// A request that upgrades a connection to a WebSocket, followed by messages.
fn upgrade(path: &str, messages: &[u8]) -> Vec<u8> {
    let head = format!(
        "GET /api/events/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: \
         websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: \
         dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    [head.as_bytes(), messages].concat()
}

/// A message of a WebSocket. Clients have to mask what they send. The key is all zeros, which
/// changes nothing.
fn message(message: &Value) -> Vec<u8> {
    let text = message.to_string();
    let length = (text.len() as u64).to_be_bytes();
    [&[0x81, 0x80 | 127], &length[..], &[0; 4], text.as_bytes()].concat()
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
