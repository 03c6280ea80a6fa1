//! How all doors acquire. Clients that poll are held open once they have shown that they wait, and
//! a grant is undone unless its client receives it.

pub(crate) mod lease_id;
pub(crate) mod near_names;
pub(crate) mod polling;
pub(crate) mod retry;
pub(crate) mod unknown;

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderValue;
use leasehold_engine::{Acquire, Acquired, Hold, LeaseId, Refusal, Span, Ticket};
use leasehold_node::{Handle, Notices, Unavailable, Undo, Wait};

use self::near_names::NearNames;
use self::polling::{Caller, Kept, Places, Standing, Visit};
use crate::access::identity::ClientId;
use crate::access::origin::Origin;
use crate::config::Config;
use crate::event_log::EventLog;
use crate::figures::Figures;
use crate::http::quota::Crowd;
use crate::liveness::joins::{self, Joins};
use crate::records::Recorder;

/// Acquires for clients that poll.
pub(crate) struct Acquirer {
    ledger: Handle,
    recorder: Option<Recorder>,
    config: Config,
    places: Places,
    /// The requests that are held open now.
    held_open: Arc<Crowd>,
    /// Which grants clients will report in events.
    joins: Joins,
    near_names: NearNames,
    figures: Figures,
    warned: Notices,
}

/// Whether a client may be a try-lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// The client may want to know only whether there is room now.
    Unknown,
    /// The clients of tags always wait.
    Waits,
}

/// Why nothing was acquired.
#[derive(Debug)]
pub(crate) enum NotAcquired {
    /// No room. The client may come back.
    Refused(Box<Refusal>, ComeBack),
    /// The server stops, and the client can go on waiting at the next one. It is answered as if it
    /// had waited for the longest time: Prefect's clients repeat such a request as often as it
    /// takes, and one that failed six times at the most.
    SentAway(ComeBack),
    /// The ledger gave no answer.
    Unavailable(Unavailable),
}

impl NotAcquired {
    /// The ledger gave no answer to a request, which may have been one that waits.
    pub(crate) fn unanswered(unavailable: Unavailable, waits: bool) -> Self {
        if unavailable == Unavailable::Stopping && waits {
            let after_seconds = retry::AFTER_STOP_SECONDS;
            return Self::SentAway(ComeBack { after_seconds, cookie: None });
        }
        Self::Unavailable(unavailable)
    }
}

/// How a client is asked to come back.
#[derive(Debug)]
pub(crate) struct ComeBack {
    /// After how many seconds.
    pub(crate) after_seconds: f64,
    /// The cookie that identifies the client then.
    pub(crate) cookie: Option<HeaderValue>,
}

/// A place that a client has come back to. It is kept again unless the client is answered: a client
/// whose connection broke connects again.
struct Claimed<'all> {
    all: &'all Acquirer,
    caller: Caller,
    place: Option<Ticket>,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.place {
            self.all.places.keep(
                self.caller,
                Kept {
                    ticket,
                    // It may have been granted, and the grant undone.
                    lease: None,
                    // The client may have given up, and its next request may be a try-lock.
                    standing: Standing::Refused { early: 0 },
                    refused_at: self.all.ledger.clock().now(),
                    asked: Span::ZERO,
                },
            );
        }
    }
}

impl Acquirer {
    pub(crate) fn new(
        ledger: Handle,
        recorder: Option<Recorder>,
        event_log: Option<EventLog>,
        config: Config,
        figures: Figures,
    ) -> Self {
        let joins = Joins::new(ledger.clock().now());
        let near_names = NearNames::new(ledger.clone(), event_log);
        // Each waiting request has a connection, and holders need connections to renew. One address
        // has half of the places at most, so that it cannot keep all others out.
        let held_open = Crowd::new(config.waiters_max, config.waiters_max.div_ceil(2));
        let (places, warned) = (Places::default(), Notices::default());
        Self { ledger, recorder, config, places, held_open, joins, near_names, figures, warned }
    }

    /// How many requests are held open.
    pub(crate) fn held_open(&self) -> usize {
        self.held_open.count()
    }

    /// The grants that clients will report in events.
    pub(crate) fn joins(&self) -> &Joins {
        &self.joins
    }

    pub(crate) fn near_names(&self) -> &NearNames {
        &self.near_names
    }

    /// Takes slots, and waits for them if they are not free. A wait counts against the share of the
    /// address `from`, which is `None` if it is unknown or if many clients share it. If the share
    /// is used up, the request does not wait.
    pub(crate) async fn wait(
        &self,
        acquire: Acquire,
        wait: Wait,
        from: Option<IpAddr>,
    ) -> Result<(Acquired, Undo), Unavailable> {
        let wants_to_wait = wait.span > Span::ZERO;
        let member = wants_to_wait.then(|| self.held_open.enter(from)).flatten();
        let span = if member.is_some() { wait.span } else { Span::ZERO };
        let acquired = self.ledger.acquire(acquire, Wait { span, ..wait }).await;
        match &acquired {
            Ok((Acquired::Refused(refusal), _)) => self.figures.refused(refusal),
            Ok((Acquired::Granted(grant), _)) => self.figures.granted(grant),
            _ => {}
        }
        acquired
    }

    /// Acquires for a client that polls. Its requests are refused at once until it has shown that
    /// it waits. From then on they are held open, in its place.
    pub(crate) async fn acquire(
        &self,
        patience: Patience,
        origin: Origin,
        mut acquire: Acquire,
    ) -> Result<(Acquired, Undo), NotAcquired> {
        let (ledger, places) = (&self.ledger, &self.places);
        let from = origin.counted();
        let caller = places.caller(origin.peer, origin.identity, &acquire);
        acquire.origin = origin.said.clone();
        let expected = joins::expected(&acquire);
        let wants = acquire.wants.clone();
        let mut visit = places.claim(caller, ledger.clock().now());
        if patience == Patience::Waits && visit.place.is_some() {
            visit.standing = Standing::Proven;
        }
        let span = match visit.standing {
            Standing::Proven => Span::from_seconds_f64(self.config.park_seconds),
            Standing::Tested | Standing::Refused { .. } => Span::ZERO,
        };
        if let (Hold::Lease { id, .. } | Hold::Holder { id, .. }, Some(lease)) =
            (&mut acquire.hold, visit.lease)
        {
            *id = lease;
        }
        let lease = acquire.hold.lease();
        let mut claimed = Claimed { all: self, caller, place: visit.place };
        if span > Span::ZERO {
            joins::recorded::identify(self.recorder.as_ref(), &mut acquire).await;
        }
        let wait = Wait { span, priority: 0, place: visit.place };
        let waiting = self.wait(acquire, wait, from).await;
        let (acquired, undo) =
            waiting.map_err(|error| NotAcquired::unanswered(error, span > Span::ZERO))?;
        claimed.place = None;
        if let Acquired::Granted(grant) = &acquired {
            self.near_names.look_up(&wants, grant);
            if let Some((holder, origin)) = expected {
                self.joins.granted(grant, holder, origin, ledger.clock().now());
            }
        }
        let Acquired::Refused(refusal) = acquired else { return Ok((acquired, undo)) };
        let refused = Refused { patience, origin, caller, visit, lease };
        let come_back = self.come_back(&refusal, refused);
        Err(NotAcquired::Refused(Box::new(refusal), come_back))
    }

    /// Keeps the place of a refused client, and returns when it should come back.
    fn come_back(&self, refusal: &Refusal, refused: Refused) -> ComeBack {
        let Refused { patience, origin, mut caller, mut visit, lease } = refused;
        let (clock, from) = (self.ledger.clock(), origin.counted());
        let are_cookies_lost = self.places.refuse(caller, &mut visit, clock.now());
        if are_cookies_lost && self.warned.is_new(from, clock.now()) {
            let address = from.map(tracing::field::display);
            tracing::info!(
                address,
                "no client comes back with the cookie that its refusal gave it. If these clients \
                 wait, a proxy drops cookies, and they poll: let it pass Cookie and Set-Cookie"
            );
        }
        // Whether a client that comes back would be held open, at the present load.
        let holds_open = self.config.park_seconds > 0.0 && !self.held_open.is_full_for(from);
        let after_seconds = match patience {
            Patience::Unknown => retry::after_seconds(refusal, &self.config, holds_open, &visit),
            Patience::Waits => retry::after_seconds_of_tags(&self.config, holds_open),
        };
        let mut cookie = None;
        if let Some(ticket) = refusal.place
            && self.config.park_seconds > 0.0
        {
            if origin.identity.client.is_none() {
                let (client, given) = ClientId::new();
                cookie = given;
                caller = self.places.known_as(caller, client);
            }
            let standing =
                if patience == Patience::Waits { Standing::Proven } else { visit.standing };
            let refused_at = clock.now();
            let asked = Span::from_seconds_f64(after_seconds);
            self.places.keep(caller, Kept { ticket, lease, standing, refused_at, asked });
        }
        ComeBack { after_seconds, cookie }
    }
}

/// A request that was refused.
struct Refused {
    patience: Patience,
    origin: Origin,
    caller: Caller,
    visit: Visit,
    lease: Option<LeaseId>,
}
