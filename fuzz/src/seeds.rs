//! What the fuzzer begins with: the recorded requests, whole and their bodies alone, and requests that
//! the recorded server does not know.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::body::READERS_COUNT;

/// Writes all of them into a folder, those of each target into one of their own.
///
/// # Errors
///
/// If the folder cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    for (target, inputs) in [("http", requests()), ("body", bodies())] {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), input)?;
        }
    }
    Ok(())
}

/// Whole requests.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let whole = |asked: &Asked| {
        let Asked { method, path, headers, body } = asked;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-type: application/json\r\ncontent-length: {length}"
        );
        format!("{head}\r\n\r\n{body}").into_bytes()
    };
    let requests: BTreeSet<_> = all().iter().map(whole).collect();
    requests.into_iter().collect()
}

/// Bodies, each for some of the readers, for whichever it was meant.
pub(crate) fn bodies() -> Vec<Vec<u8>> {
    let bodies: BTreeSet<_> = all().into_iter().map(|asked| asked.body).collect();
    let for_some = |(number, body): (usize, &String)| {
        let first = (number % usize::from(READERS_COUNT)) as u8;
        [0, 7, 13].map(|more| [&[(first + more) % READERS_COUNT, 0], body.as_bytes()].concat())
    };
    bodies.iter().enumerate().flat_map(for_some).collect()
}

/// A recorded request.
struct Asked {
    method: String,
    path: String,
    headers: String,
    body: String,
}

fn all() -> Vec<Asked> {
    let captures =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/leasehold-server/tests/captures");
    let files = fs::read_dir(captures).expect("the captures are in the repository");
    let mut all: Vec<_> = OTHERS
        .iter()
        .map(|(method, path, body)| Asked {
            method: (*method).to_owned(),
            path: (*path).to_owned(),
            headers: String::new(),
            body: (*body).to_owned(),
        })
        .collect();
    for path in files.filter_map(|file| Some(file.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = fs::read_to_string(path).expect("a capture is text");
            let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            all.extend(lines.filter_map(|line: Value| recorded(&line)));
        }
    }
    all
}

/// The request of a line of a capture, if it is one.
fn recorded(line: &Value) -> Option<Asked> {
    let (method, path) = (line["method"].as_str()?, line["path"].as_str()?);
    let body = match (&line["req_raw"], &line["req_body"]) {
        (Value::String(raw), _) => raw.clone(),
        (_, Value::Null) => String::new(),
        (_, body) => body.to_string(),
    };
    let agent = line["req_headers"]["User-Agent"].as_str();
    let agent = agent.map(|agent| format!("user-agent: {agent}\r\n")).unwrap_or_default();
    Some(Asked { method: method.to_owned(), path: path.to_owned(), headers: agent, body })
}

/// What was not recorded, because the recorded server has nothing like it.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "POST",
        "/api/leases",
        r#"{"limits":[{"name":"db","slots":1}],"holder":{"kind":"process","id":"1","labels":{"host":"a"}},"ttl_seconds":60,"wait_seconds":0,"idempotency_key":"k"}"#,
    ),
    ("GET", "/api/leases?limit=db&holder=1&page_size=2", ""),
    ("GET", "/api/leases/e132a953-0824-4c81-b5d7-61c3ef6c3bb0", ""),
    ("POST", "/api/leases/e132a953-0824-4c81-b5d7-61c3ef6c3bb0/renew", r#"{"ttl_seconds":60}"#),
    (
        "POST",
        "/api/leases/renew",
        r#"{"leases":["e132a953-0824-4c81-b5d7-61c3ef6c3bb0"],"ttl_seconds":60}"#,
    ),
    ("DELETE", "/api/leases/e132a953-0824-4c81-b5d7-61c3ef6c3bb0", ""),
    (
        "POST",
        "/api/leases/e132a953-0824-4c81-b5d7-61c3ef6c3bb0/revoke",
        r#"{"reason":"gone","by":"me"}"#,
    ),
    ("GET", "/api/v2/concurrency_limits/db/waiters?limit=1&offset=0", ""),
    ("GET", "/api/v2/concurrency_limits/db/leases", ""),
    ("GET", "/api/leasehold/events?limit=db&kind=lease&newest_first=true&page_size=5", ""),
    ("GET", "/api/openapi.json", ""),
    ("GET", "/api/ready", ""),
    ("HEAD", "/api/health", ""),
    ("OPTIONS", "/api/leases", ""),
    ("GET", "/docs", ""),
];
