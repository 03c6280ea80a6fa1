//! Connections: the server accepts them, bounds their number and time, and ends them when it stops.
//!
//! A connection counts as long as it is open, also as a WebSocket. A part of the connections is
//! reserved for requests that renew and release (`serve/admission.rs`).

mod admission;
mod client_stream;
mod head_lines;
mod line;
mod request_body;

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::Either;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use leasehold_node::{Clock, Unavailable};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use self::admission::{Door, asks_for_slots, is_keeping};
use self::client_stream::{ClientStream, Place};
use self::line::Line;
pub(crate) use self::request_body::RequestBody;
use crate::access::peer::{Connected, TrustedProxies};
use crate::config::CONNECTIONS_MAX;
use crate::http;
use crate::http::grant::Carried;
use crate::http::sockets::Sockets;
use crate::log_throttle::LogThrottle;

/// How long a connection may be idle between two requests, and how long the head of a request may
/// take. Clients keep idle connections for 25 s, and proxies for 60 s.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a new connection may take to send the head of its first request.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a reserved connection has for its one request.
const KEEPING_TIMEOUT: Duration = Duration::from_secs(5);
/// While all connections are taken, the server ends one reserved connection without a request this
/// often, to accept one that waits.
const ROOM_PERIOD: Duration = Duration::from_millis(10);
/// How many bytes the system buffers for a client that does not read. The system doubles this.
const SEND_BUFFER_BYTES: usize = 256 << 10;
/// How long open requests and WebSockets may take to end when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait after `accept` failed, for example without free file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// A host that vanishes closes no connection. After this time without bytes the system probes the
/// connection: so many times, at such intervals.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_PROBES: u32 = 3;

/// The service that answers the requests of all connections. It is always ready.
pub(crate) trait HttpService:
    tower::Service<
        Request<RequestBody<Incoming>>,
        Response = Response,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
}

impl<S> HttpService for S where
    S: tower::Service<
            Request<RequestBody<Incoming>>,
            Response = Response,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

/// How many connections the server serves, and what they share.
pub(crate) struct Bounds<'app> {
    pub(crate) connections_max: usize,
    /// One permit for each of them.
    pub(crate) permits: &'app Arc<Semaphore>,
    pub(crate) trusted_proxies: &'app TrustedProxies,
    pub(crate) clock: &'app Clock,
    /// The WebSockets, to close when the server stops.
    pub(crate) sockets: &'app Sockets,
}

/// Serves connections until `stop` resolves. Then it lets open requests end, and closes the
/// WebSockets. Connections beyond `connections_max` or [`CONNECTIONS_MAX`] wait to be accepted.
pub(crate) async fn serve<S: HttpService>(
    listener: TcpListener,
    service: S,
    bounds: Bounds<'_>,
    stop: impl Future<Output = ()>,
) {
    let stopping = watch::Sender::new(false);
    let Bounds { connections_max, permits, trusted_proxies, clock, sockets } = bounds;
    let connections_max = connections_max.min(CONNECTIONS_MAX);
    let trusted_proxies = Arc::new(trusted_proxies.clone());
    let slots = permits.clone();
    let door = Door::new(connections_max);
    let complaints = Complaints::default();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots, &door) => accepted,
            () = &mut stop => break,
        };
        let now = clock.now();
        match accepted {
            Ok((stream, address, slot)) => {
                match door.admit(trusted_proxies.peer(address).counted()) {
                    Some(pass) => {
                        if pass.is_for_keeping
                            && let Some(unsaid) = complaints.for_keeping.is_due(now)
                        {
                            tracing::warn!(
                                unsaid,
                                "only reserved connections are left, for renewals and releases"
                            );
                        }
                        let line = Arc::<Line>::default();
                        if pass.is_for_keeping {
                            door.remember(&line);
                        }
                        let place = Place { pass, _slot: slot };
                        let answers = Answers {
                            service: service.clone(),
                            connected: address,
                            trusted_proxies: trusted_proxies.clone(),
                            line,
                        };
                        tokio::spawn(connection(stream, place, answers, stopping.subscribe()));
                    }
                    None => {
                        if let Some(unsaid) = complaints.too_many.is_due(now) {
                            tracing::warn!(%address, unsaid, "an address has too many connections");
                        }
                    }
                }
            }
            Err(error) => {
                if let Some(unsaid) = complaints.unaccepted.is_due(now) {
                    tracing::warn!(%error, unsaid, "a connection could not be accepted");
                }
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    stopping.send_replace(true);
    let all_ended = slots.acquire_many(u32::try_from(connections_max).unwrap_or(u32::MAX));
    let all_closed = sockets.close();
    let all_gone = async { tokio::join!(all_ended, all_closed) };
    if tokio::time::timeout(STOP_TIMEOUT, all_gone).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    door: &Door,
) -> io::Result<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let slot = loop {
        match tokio::time::timeout(ROOM_PERIOD, slots.clone().acquire_owned()).await {
            Ok(slot) => break slot.map_err(io::Error::other)?,
            Err(_) => door.make_room(),
        }
    };
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    Ok((stream, address.ip(), slot))
}

/// The service for one connection.
struct Answers<S> {
    service: S,
    connected: IpAddr,
    trusted_proxies: Arc<TrustedProxies>,
    line: Arc<Line>,
}

async fn connection<S: HttpService>(
    stream: TcpStream,
    place: Place,
    answers: Answers<S>,
    mut stopping: watch::Receiver<bool>,
) {
    let is_for_keeping = place.pass.is_for_keeping;
    let line = answers.line.clone();
    let head_timeout = if is_for_keeping { KEEPING_TIMEOUT } else { HEAD_TIMEOUT };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .keep_alive(!is_for_keeping)
        .serve_connection(
            TokioIo::new(ClientStream::new(stream, line.clone(), Some(place))),
            answers.into_service(is_for_keeping),
        )
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let out_of_time = async {
        if is_for_keeping {
            // It ends after the timeout, or earlier when it has to make room.
            let _ = tokio::time::timeout(KEEPING_TIMEOUT, line.is_sent_away()).await;
            return;
        }
        tokio::time::sleep(FIRST_HEAD_TIMEOUT).await;
        if line.has_asked() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        // Without the sender, the server is stopping as well.
        _ = stopping.wait_for(|stopping| *stopping) => None,
        () = out_of_time => return,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // A client that breaks off is no fault of the server: only at debug.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

impl<S: HttpService> Answers<S> {
    /// Answers the requests of a connection. A reserved connection refuses all but renewals,
    /// releases and health checks.
    fn into_service(
        self,
        is_for_keeping: bool,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response,
        Error = Infallible,
        Future: Future<Output = Result<Response, Infallible>> + Send,
    > {
        let Self { service, connected, trusted_proxies, line } = self;
        service_fn(move |mut request: Request<Incoming>| {
            line.asks();
            let peer = trusted_proxies.resolve(connected, request.headers());
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(Connected(connected));
            let (method, path) = (request.method(), request.uri().path());
            if !asks_for_slots(method, path) {
                line.will_owe();
            }
            let is_refused = is_for_keeping && !is_keeping(method, path);
            let request = request.map(|body| RequestBody::new(body, line.clone()));
            let answer = if is_refused {
                let overloaded = http::Error::from(Unavailable::Overloaded);
                Either::Left(ready(Ok(overloaded.into_response())))
            } else {
                // Called without `poll_ready`, as the service is always ready: a future that waits
                // for it would have to carry the request.
                Either::Right(service.clone().call(request))
            };
            let line = line.clone();
            answer.map(move |answer| {
                answer.map(|mut response| {
                    line.is_answered(response.status() != StatusCode::SWITCHING_PROTOCOLS);
                    if let Some(grant) = Carried::claim(&mut response) {
                        line.carry(grant);
                    }
                    response
                })
            })
        })
    }
}

/// Throttles the warnings about connections: each at most once a second.
#[derive(Debug, Default)]
struct Complaints {
    unaccepted: LogThrottle,
    too_many: LogThrottle,
    for_keeping: LogThrottle,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_that_vanished_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, ..) =
            accept(&listener, &Arc::new(Semaphore::new(1)), &Door::new(1)).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
    }
}
