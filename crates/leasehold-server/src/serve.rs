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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::gate::Gated;
use crate::places::Peer;

/// More connections than this wait to be accepted.
const CONNECTIONS_MAX: u32 = 16_384;
/// How long a connection may be idle, and how long the head of a request may take. Clients
/// keep idle connections for 25 s, proxies for 60.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long requests that are under way may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait when no connection can be accepted, as without file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Serves connections until `stop` resolves, then lets the requests under way end.
pub async fn serve(listener: TcpListener, gated: Gated, stop: impl Future<Output = ()>) {
    let stopping = watch::Sender::new(false);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
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
    let all_ended = slots.acquire_many(CONNECTIONS_MAX);
    if tokio::time::timeout(STOP_TIMEOUT, all_ended).await.is_err() {
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
