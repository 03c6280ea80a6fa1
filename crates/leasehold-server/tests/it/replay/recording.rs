//! The captures, line by line.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One line of a capture: a request and its answer, or an event of a WebSocket.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    /// The name of the case, in captures of single cases.
    #[serde(default)]
    pub(super) case: String,
    /// When it was sent, in seconds since the Unix epoch.
    pub(super) t: Option<f64>,
    #[serde(default)]
    pub(super) method: String,
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    pub(super) req_headers: BTreeMap<String, String>,
    pub(super) req_body: Option<Value>,
    pub(super) req_raw: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    pub(super) resp_headers: BTreeMap<String, String>,
    resp_body: Option<Value>,
    resp_raw: Option<String>,

    /// The kind of a WebSocket's event: `ws_open`, `ws_msg`, ….
    kind: Option<String>,
    /// `c->s` or `s->c`.
    #[serde(default)]
    pub(super) dir: String,
    pub(super) offered: Option<Vec<String>>,
    pub(super) selected: Option<String>,
    pub(super) msg: Option<Value>,
    pub(super) code: Option<u16>,

    /// The path of a case on a WebSocket, whether clients must authenticate, and the events.
    pub(super) ws: Option<String>,
    #[serde(default)]
    pub(super) auth: bool,
    pub(super) subprotocols: Option<Vec<String>>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) events: Vec<Value>,
}

impl Line {
    pub(super) fn is_http(&self) -> bool {
        self.status.is_some()
    }

    /// The kind of a WebSocket's event, or `None` for other lines.
    pub(super) fn socket_event(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    pub(super) fn status(&self) -> u16 {
        self.status.unwrap()
    }

    /// The recorded answer; `null` also for an empty body.
    pub(super) fn answer(&self) -> Value {
        match (&self.resp_body, self.resp_raw.as_deref()) {
            (Some(body), _) => body.clone(),
            (None, None | Some("")) => Value::Null,
            (None, Some(raw)) => serde_json::from_str(raw).unwrap(),
        }
    }

    /// The recorded request, for messages.
    pub(super) fn sent(&self) -> String {
        match (&self.req_raw, &self.req_body) {
            (Some(raw), _) => raw.clone(),
            (None, Some(body)) => body.to_string(),
            (None, None) => String::new(),
        }
    }
}

/// A capture's requests with the numbers of their lines, from 1.
pub(super) fn requests(capture: &str) -> Vec<(usize, Line)> {
    lines(capture).into_iter().filter(|(_, line)| line.is_http()).collect()
}

/// A capture's lines with their numbers, from 1.
pub(super) fn lines(capture: &str) -> Vec<(usize, Line)> {
    let path = format!("{}/tests/captures/{capture}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (1..).zip(lines).collect()
}
