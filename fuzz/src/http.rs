//! Random bytes on a connection of the whole server, in process. The client sends them, waits for a
//! moment for an answer, closes its half, and reads the rest. The server does not panic, and answers
//! nothing with 5xx.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use leasehold_journal::MemoryJournal;
use leasehold_node::Clock;
use leasehold_records::{Bounds, Records};
use leasehold_server::{Config, Options, Server};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What has no answer by then is half a request, or waits.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(5);
/// Streams go on for as long as their client is there; so much of one is enough.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// A Transfer-Encoding that the server does not know is answered with this one.
const NOT_IMPLEMENTED: u16 = 501;

/// Where the server listens, for as long as the process runs.
static SERVER: LazyLock<SocketAddr> = LazyLock::new(start);

/// Sends one input, and looks at the answers.
///
/// # Panics
///
/// If an answer blames the server, or if there is no server.
pub fn run(data: &[u8]) {
    let answer = exchange(data).unwrap_or_default();
    for status in read(&answer).0 {
        assert!(status < 500 || status == NOT_IMPLEMENTED, "{}", String::from_utf8_lossy(&answer));
    }
}

fn start() -> SocketAddr {
    let runtime = Runtime::new().expect("the runtime starts");
    let address = runtime.block_on(async {
        let folder = tempfile::tempdir().expect("there is room for a folder").keep();
        let records = Records::open(&folder, Bounds::default()).expect("the folder is empty");
        let options = Options {
            config: Config { park_seconds: 0.0, connections_max: 64, ..Config::default() },
            records: Some(records),
            events_per_second_max: 1_000,
            clock: Clock::system(),
        };
        let server =
            Server::start(MemoryJournal::default(), options).expect("an empty journal can be read");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        tokio::spawn(Box::leak(Box::new(server)).serve(listener, std::future::pending()));
        address
    });
    Box::leak(Box::new(runtime));
    address
}

/// What the server sends back until it closes the connection or says no more.
fn exchange(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(*SERVER)?;
    let mut answer = Vec::new();
    // The server may close the connection before it has read all, and sends nothing then.
    let _ = stream.write_all(bytes);
    // The end of what a client sends ends a request for slots.
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut part = [0; 4_096];
    while let Ok(length @ 1..) = stream.read(&mut part) {
        answer.extend_from_slice(&part[..length]);
        if read(&answer).1 {
            break;
        }
    }
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    if stream.shutdown(Shutdown::Write).is_ok() {
        let _ = stream.read_to_end(&mut answer);
    }
    Ok(answer)
}

/// The status of each answer in what came back, and whether the last one is whole.
fn read(mut rest: &[u8]) -> (Vec<u16>, bool) {
    let mut statuses = Vec::new();
    while let Some(after) = rest.strip_prefix(b"HTTP/1.1 ".as_slice()) {
        statuses.extend(after.get(..3).and_then(|it| str::from_utf8(it).ok()?.parse::<u16>().ok()));
        let Some(end) = after.windows(4).position(|it| it == b"\r\n\r\n") else { break };
        let (head, body) = after.split_at(end + 4);
        // An answer to HEAD names a length, and has no body.
        let is_next = body.starts_with(b"HTTP/1.1 ");
        let length = if is_next { 0 } else { content_length(head) };
        let Some(next) = body.get(length..) else { break };
        rest = next;
    }
    let is_whole = rest.is_empty() && !statuses.is_empty();
    (statuses, is_whole)
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_request_is_answered_and_none_with_an_error_of_the_server() {
        for request in crate::seeds::requests() {
            let text = String::from_utf8_lossy(&request);
            // Some task runs have to be on record before they get slots of their tags.
            if !text.contains("task_run_id") {
                let answer = exchange(&request).unwrap();
                assert!(!read(&answer).0.is_empty(), "{text}");
            }
            run(&request);
        }
    }

    #[test]
    fn each_of_several_answers_is_found() {
        let answers = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789HTTP/1.1 503 \r\n\r\n";
        assert_eq!(read(answers), (vec![200, 503], true));
        assert!(!read(&answers[..50]).1);
    }
}
