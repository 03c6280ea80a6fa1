//! What a node answers that does not own the ledger: 503, and when to come back.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How many connections are answered at once.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a client may take to ask.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait after a connection could not be accepted.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Answers each request with 503 until `done` resolves, and closes each connection after its
/// answer: the next request on it must find the owner. `/ready` says `standby`.
pub async fn stand_by<F: Future>(listener: TcpListener, done: F) -> F::Output {
    let mut done = std::pin::pin!(done);
    let room = std::sync::Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            output = &mut done => return output,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            continue;
        };
        // A connection beyond the bound is closed.
        let Ok(place) = room.clone().try_acquire_owned() else { continue };
        tokio::spawn(async move {
            answer(stream).await;
            drop(place);
        });
    }
}

async fn answer(stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(refusal(request.uri().path()))
    });
    // A client that hangs up needs no answer.
    let _ = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn refusal(path: &str) -> Response<String> {
    let body = match path {
        "/ready" | "/api/ready" => r#"{"leasehold":"standby"}"#,
        _ => r#"{"detail":"Service Unavailable: this node stands by, and another one serves"}"#,
    };
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_node_that_stands_by_says_so_and_when_to_come_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let standing_by = tokio::spawn(stand_by(listener, stopped));
        for (path, said) in [("/ready", "\"standby\""), ("/api/limits", "stands by")] {
            let mut client = TcpStream::connect(address).await.unwrap();
            let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.contains("retry-after: 1\r\n") && answer.contains(said), "{answer}");
        }
        stop.send(7).unwrap();
        assert_eq!(standing_by.await.unwrap(), Ok(7));
    }
}
