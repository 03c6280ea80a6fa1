//! The access log: one line for each answer, with the lease and the limits that it concerns. A
//! client's text is quoted. The log holds nothing that could be a secret: no query, and no header
//! except `User-Agent`.

pub(crate) mod subject;

use std::cell::RefCell;
use std::net::IpAddr;

use axum::http::{HeaderMap, Method, Request, Response, header};
use leasehold_engine::Timestamp;
use leasehold_node::Clock;
use tracing::Level;
use tracing::field::{debug, display};
use uuid::Uuid;

use self::subject::{SUBJECT, Subject};
use crate::access::peer::Peer;

/// How many characters of a path, and of the client's `User-Agent`, are logged.
const CHARS_MAX: usize = 200;

/// A request whose answer will be logged.
pub(crate) struct Entry {
    clock: Clock,
    since: Timestamp,
    method: Method,
    path: String,
    client: Option<IpAddr>,
    agent: Option<String>,
}

/// Whether requests are logged.
pub(crate) fn is_on(has_access_log: bool) -> bool {
    has_access_log || tracing::enabled!(Level::DEBUG)
}

impl Entry {
    pub(crate) fn begin<B>(request: &Request<B>, clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            since: clock.now(),
            method: request.method().clone(),
            path: request.uri().path().chars().take(CHARS_MAX).collect(),
            client: request.extensions().get::<Peer>().map(|peer| peer.address()),
            agent: agent(request.headers()),
        }
    }

    /// Awaits the answer and logs it: at info with an access log, else at debug.
    pub(crate) async fn log<B>(
        self,
        has_access_log: bool,
        answer: impl Future<Output = Response<B>>,
    ) -> Response<B> {
        let answered = async {
            let response = answer.await;
            SUBJECT.with(|subject| {
                self.write(has_access_log, &subject.borrow(), response.status().as_u16());
            });
            response
        };
        SUBJECT.scope(RefCell::default(), answered).await
    }

    fn write(&self, has_access_log: bool, subject: &Subject, status: u16) {
        let seconds = self.clock.now().since(self.since).as_seconds_f64();
        let Self { method, path, .. } = self;
        let client = self.client.map(display);
        let agent = self.agent.as_deref();
        let lease = subject.lease.map(|lease| display(Uuid::from_u128(lease.0)));
        let limits = (!subject.limits.is_empty()).then(|| debug(&subject.limits));
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    %method, ?path, status, seconds, client, agent, lease, limits, "answered"
                )
            };
        }
        if has_access_log { line!(info) } else { line!(debug) }
    }
}

/// The `User-Agent` of a client; bytes that are no UTF-8 are replaced.
fn agent(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?;
    Some(String::from_utf8_lossy(agent.as_bytes()).chars().take(CHARS_MAX).collect())
}
