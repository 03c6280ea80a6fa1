//! Who may write: one node owns the ledger, under an epoch, for a time by the database's clock.
//!
//! Taking the ledger, and taking it again after each reconnection, raises the epoch. What is still
//! under way from before then fails: each commit checks its epoch in its own transaction.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::PostgresError;

/// A node that wants the ledger.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, for people: a host and an address.
    pub name: String,
    /// Within this time after the death of the owner, another node owns the ledger.
    pub takeover: Duration,
}

/// The ledger, as it is when it is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) epoch: i64,
    pub(super) commits: i64,
}

impl Node {
    /// For how long the ledger is owned without a word.
    pub(super) fn owned_for(&self) -> Duration {
        self.takeover * 4 / 5
    }

    /// How often a node that waits asks whether it may own the ledger.
    pub(super) fn asks_every(&self) -> Duration {
        self.takeover / 20
    }

    /// How often an idle owner renews its ownership.
    pub(super) fn renews_every(&self) -> Duration {
        self.takeover / 5
    }
}

/// A name for this start of the node that no other has.
pub(super) async fn new_instance(client: &Client) -> Result<String, PostgresError> {
    let row = client.query_typed_one("SELECT gen_random_uuid()::TEXT", &[]).await?;
    Ok(row.try_get(0)?)
}

/// Takes the ledger if it is this instance's already, or if nobody's time lasts.
pub(super) async fn take(
    client: &Client,
    node: &Node,
    instance: &str,
) -> Result<Taken, PostgresError> {
    const TAKE: &str = "\
        UPDATE leasehold.ledger SET epoch = epoch + 1, owner = $1, \
        owned_since = CASE WHEN instance = $2 THEN owned_since ELSE now() END, instance = $2, \
        owned_until = now() + $3 * INTERVAL '1 second' \
        WHERE only_row = 1 AND (instance = $2 OR owned_until <= now()) RETURNING epoch, commits";
    let seconds = node.owned_for().as_secs_f64();
    let taken = client
        .query_typed_opt(
            TAKE,
            &[(&node.name, Type::TEXT), (&instance, Type::TEXT), (&seconds, Type::FLOAT8)],
        )
        .await?;
    if let Some(row) = taken {
        return Ok(Taken { epoch: row.try_get(0)?, commits: row.try_get(1)? });
    }
    let owner = "SELECT owner, epoch FROM leasehold.ledger";
    match client.query_typed_opt(owner, &[]).await? {
        Some(row) => Err(PostgresError::Owned { owner: row.try_get(0)?, epoch: row.try_get(1)? }),
        None => Err(PostgresError::damaged("ledger", "it has no row")),
    }
}

/// Owns the ledger for longer. Returns whether it was still owned under this epoch.
pub(super) async fn renew(
    client: &Client,
    node: &Node,
    epoch: i64,
) -> Result<bool, tokio_postgres::Error> {
    const RENEW: &str = "\
        UPDATE leasehold.ledger SET owned_until = now() + $2 * INTERVAL '1 second' \
        WHERE only_row = 1 AND epoch = $1";
    let seconds = node.owned_for().as_secs_f64();
    let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
        &[(&epoch, Type::INT8), (&seconds, Type::FLOAT8)];
    client.execute_typed(RENEW, parameters).await.map(|rows| rows == 1)
}

/// Gives the ledger up: another node can take it at once.
pub(super) async fn release(client: &Client, instance: &str) -> Result<(), PostgresError> {
    const RELEASE: &str = "\
        UPDATE leasehold.ledger SET owned_until = now() WHERE only_row = 1 AND instance = $1";
    client.execute_typed(RELEASE, &[(&instance, Type::TEXT)]).await?;
    Ok(())
}
