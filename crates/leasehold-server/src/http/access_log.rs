//! The access log: one line for each answer, with the lease and the limits that it was about. What
//! a client sends stands there quoted, and nothing of it that could be a secret: no query, no header
//! but the name of the client's program.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, Method, Request, Response, header};
use leasehold_engine::{Acquired, Command, Hold, LeaseId, LimitRef, Outcome, Query, Timestamp};
use tracing::Level;
use tracing::field::{debug, display};
use uuid::Uuid;

use crate::access::peer::Peer;
use crate::app::App;

/// More limits of one request are not named, and no more of a client's name and of a path.
const LIMITS_MAX: usize = 8;
const CHARS_MAX: usize = 200;

tokio::task_local! {
    /// What the request in hand is about.
    static SUBJECT: RefCell<Subject>;
}

#[derive(Default)]
struct Subject {
    limits: Vec<Arc<str>>,
    lease: Option<LeaseId>,
}

/// A request that is to be logged.
pub(crate) struct Entry {
    since: Timestamp,
    method: Method,
    path: String,
    client: Option<IpAddr>,
    agent: Option<String>,
}

/// Whether requests are logged.
pub(crate) fn is_on(app: &App) -> bool {
    app.config().has_access_log || tracing::enabled!(Level::DEBUG)
}

/// Keeps in mind what a command is about, if its request is logged.
pub(crate) fn note_command(command: &Command) {
    let _ = SUBJECT.try_with(|subject| subject.borrow_mut().note_command(command));
}

/// Keeps in mind which lease came of a command.
pub(crate) fn note_outcome(outcome: &Outcome) {
    if let Outcome::Acquired(Acquired::Granted(grant)) = outcome
        && let Some(lease) = &grant.lease
    {
        let _ = SUBJECT.try_with(|subject| subject.borrow_mut().lease = Some(lease.id));
    }
}

impl Entry {
    pub(crate) fn begin<B>(app: &App, request: &Request<B>) -> Self {
        Self {
            since: app.ledger().clock().now(),
            method: request.method().clone(),
            path: request.uri().path().chars().take(CHARS_MAX).collect(),
            client: request.extensions().get::<Peer>().map(|peer| peer.address()),
            agent: agent(request.headers()),
        }
    }

    /// Answers a request, and logs that.
    pub(crate) async fn log<B>(
        self,
        app: &App,
        answer: impl Future<Output = Response<B>>,
    ) -> Response<B> {
        let answered = async {
            let response = answer.await;
            SUBJECT.with(|subject| self.write(app, &subject.borrow(), response.status().as_u16()));
            response
        };
        SUBJECT.scope(RefCell::default(), answered).await
    }

    fn write(&self, app: &App, subject: &Subject, status: u16) {
        let seconds = app.ledger().clock().now().since(self.since).as_seconds_f64();
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
        if app.config().has_access_log { line!(info) } else { line!(debug) }
    }
}

/// The name of a client's program, as far as it is text.
fn agent(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?;
    Some(String::from_utf8_lossy(agent.as_bytes()).chars().take(CHARS_MAX).collect())
}

impl Subject {
    fn note_command(&mut self, command: &Command) {
        match command {
            Command::CreateLimit(create) => self.limit(&create.name),
            Command::PutTagLimit { name, .. } | Command::ResetTag { name, .. } => self.limit(name),
            Command::UpdateLimit { limit, .. }
            | Command::ResetLimit { limit, .. }
            | Command::DeleteLimit { limit, .. }
            | Command::Read(
                Query::Limit(limit, _) | Query::Leases(limit, _) | Query::Waiters(limit, _),
            ) => self.limit_ref(limit),
            Command::Acquire(acquire) => {
                acquire.wants.iter().for_each(|want| self.limit(&want.name));
                if let Hold::Holder { id, .. } = &acquire.hold {
                    self.lease = Some(*id);
                }
            }
            Command::GiveBack(give_back) => {
                give_back.names.iter().for_each(|name| self.limit(name));
            }
            Command::ReleaseTags { names, .. } => names.iter().for_each(|name| self.limit(name)),
            Command::Renew { lease, .. }
            | Command::Release { lease }
            | Command::Revoke { lease, .. }
            | Command::Read(Query::Lease(lease)) => self.lease = Some(*lease),
            _ => {}
        }
    }

    fn limit(&mut self, name: &Arc<str>) {
        if self.limits.len() < LIMITS_MAX && !self.limits.contains(name) {
            self.limits.push(name.clone());
        }
    }

    fn limit_ref(&mut self, limit: &LimitRef) {
        if let LimitRef::Name(name) = limit {
            self.limit(name);
        }
    }
}
