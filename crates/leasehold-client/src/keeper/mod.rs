//! Renews all leases of a client, in as few requests as possible.

mod book;

use std::sync::Arc;
use std::time::Duration;

use leasehold_api::leases::{LeaseRenewals, Renewals};
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use self::book::{Batch, Book, Entry};
use crate::error::Error;
use crate::held::Held;
use crate::transport::{Call, Transport};

/// The task that renews. It ends with the client and the last guard.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
enum Order {
    Keep(Uuid, Entry),
    Forget(Uuid),
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Starts the task on the present runtime.
    pub(crate) fn start(transport: Arc<Transport>) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        tokio::spawn(run(transport, received));
        Self { orders }
    }

    /// Whether its runtime has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.orders.is_closed()
    }

    /// Renews a lease from now on. The server keeps it until `until` at least.
    pub(crate) fn keep(
        &self,
        id: Uuid,
        ttl: Duration,
        notice: Duration,
        until: Instant,
    ) -> watch::Receiver<Held> {
        let deadline = until.checked_sub(notice).unwrap_or(until);
        let (state, receiver) = watch::channel(Held::until(Some(deadline)));
        // A task that has ended drops the state, and the guard sees that.
        let _ = self.orders.send(Order::Keep(id, Entry { ttl, notice, until, state }));
        receiver
    }

    /// Renews a lease no more.
    pub(crate) fn forget(&self, id: Uuid) {
        let _ = self.orders.send(Order::Forget(id));
    }
}

async fn run(transport: Arc<Transport>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut book = Book::default();
    let mut requests = JoinSet::new();
    loop {
        let now = Instant::now();
        book.note_silence(now);
        for batch in book.due(now) {
            let patience = book.patience(&batch, now);
            requests.spawn(renew(Arc::clone(&transport), batch, patience));
        }
        let wake = book.wake();
        tokio::select! {
            biased;
            Some(done) = requests.join_next() => {
                // A renewal that panicked is one without an answer: it is sent again.
                if let Ok((batch, sent_at, answer)) = done {
                    book.answered(&batch, sent_at, answer, Instant::now());
                }
            }
            order = orders.recv() => match order {
                Some(Order::Keep(id, entry)) => book.keep(id, entry, Instant::now()),
                Some(Order::Forget(id)) => book.forget(id),
                None => return,
            },
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }
    }
}

async fn renew(
    transport: Arc<Transport>,
    batch: Batch,
    patience: Duration,
) -> (Batch, Instant, Result<Renewals, Error>) {
    let sent_at = Instant::now();
    let answer = renew_now(&transport, &batch.leases, batch.ttl, patience).await;
    (batch, sent_at, answer)
}

/// One attempt to renew these leases.
pub(crate) async fn renew_now(
    transport: &Transport,
    leases: &[Uuid],
    ttl: Duration,
    patience: Duration,
) -> Result<Renewals, Error> {
    let body = LeaseRenewals { leases: leases.to_vec(), ttl_seconds: ttl.as_secs_f64() };
    let body = serde_json::to_vec(&body)
        .map_err(|error| Error::Unwritable { detail: error.to_string() })?;
    let call = Call {
        method: Method::POST,
        path: "/leases/renew".to_owned(),
        body: Some(body.into()),
        headers: HeaderMap::new(),
        timeout: Some(patience),
    };
    let renewals: Renewals = transport.read(&transport.send(&call).await?)?;
    if renewals.leases.len() == leases.len() {
        Ok(renewals)
    } else {
        Err(transport.unexpected(200, "it has not one result for each lease".to_owned()))
    }
}
