//! Connections: accepted, bounded in number and in time, and ended when the server stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::gate::Gated;
use crate::places::Peer;

/// How many connections are served at the most, where there are descriptors for so many.
pub const CONNECTIONS_MAX: usize = 16_384;
/// How long a connection may be idle, and how long the head of a request may take. Clients
/// keep idle connections for 25 s, proxies for 60.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long requests and WebSockets that are under way may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait when no connection can be accepted, as without file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// A host that vanished says no good-bye. A connection on which nothing has come for so long is
/// asked whether anybody is there, this often, at such intervals.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_PROBES: u32 = 3;

/// Serves connections until `stop` resolves, then lets the requests under way end, and says
/// good-bye to the WebSockets. More than `connections_max`, or than [`CONNECTIONS_MAX`], wait to be
/// accepted.
pub async fn serve(
    listener: TcpListener,
    gated: Gated,
    connections_max: usize,
    stop: impl Future<Output = ()>,
) {
    let stopping = watch::Sender::new(false);
    let connections_max = connections_max.min(CONNECTIONS_MAX);
    let slots = Arc::new(Semaphore::new(connections_max));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let connection = connection(stream, peer, gated.clone(), stopping.subscribe());
                tokio::spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    stopping.send_replace(true);
    let all_ended = slots.acquire_many(u32::try_from(connections_max).unwrap_or(u32::MAX));
    let all_closed = gated.app().sockets().close();
    let all_gone = async { tokio::join!(all_ended, all_closed) };
    if tokio::time::timeout(STOP_TIMEOUT, all_gone).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok((stream, Peer(address.ip()), slot))
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    gated: Gated,
    mut stopping: watch::Receiver<bool>,
) {
    let gated = TowerToHyperService::new(gated);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        gated.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        // Should the sender be gone, the server is stopping as well.
        _ = stopping.wait_for(|stopping| *stopping) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // A client that breaks off is no concern of anybody's.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_that_vanished_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, ..) = accept(&listener, &Arc::new(Semaphore::new(1))).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
    }
}
