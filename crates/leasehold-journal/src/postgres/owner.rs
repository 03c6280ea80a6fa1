//! The owner of a ledger in PostgreSQL: its connection, its epoch, and its commits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, join4};
use leasehold_engine::{Resume, Snapshot};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connection::connect;
use super::error::PostgresError;
use super::ownership::{self, Node, Taken};
use super::settings::PostgresSettings;
use super::statements::{self, Statement};
use super::tenure::{self, Tenure};
use super::{load, schema};
use crate::rows::{LedgerRow, Value, row_sum};

/// How often a commit is tried: its outcome may be unknown, or the database may ask for it again.
const TRIES: u32 = 3;

/// A commit, as it is sent.
pub(super) struct Batch {
    /// Its number is set here.
    pub(super) ledger: LedgerRow,
    pub(super) resumed: Option<Resume>,
    /// The statements for its rows.
    pub(super) rows: Vec<Statement>,
}

/// Owns the ledger, as long as no other node takes it.
pub(super) struct Owner {
    settings: PostgresSettings,
    node: Node,
    instance: String,
    /// `None` after a connection failed: what is under way on it may still happen.
    client: Option<Client>,
    epoch: i64,
    /// How many commits are durable and known to be.
    commits: u64,
    tenure: Tenure,
    deposed_by: Option<String>,
}

/// How one try to commit ended.
enum Tried {
    Durable,
    /// It did not happen.
    Failed(PostgresError),
    /// The epoch is another one, or the number of commits.
    Refused,
    /// The database could not put it in order with another transaction.
    Again(PostgresError),
    /// It may happen, or have happened.
    Unknown(PostgresError),
}

impl Owner {
    /// Connects, prepares the schema and takes the ledger.
    pub(super) async fn open(
        settings: PostgresSettings,
        node: Node,
    ) -> Result<Self, PostgresError> {
        let client = connect(&settings).await?;
        if schema::version(&client).await?.is_none()
            && let Err(error) = schema::create(&client, empty_sum()).await
        {
            // Another node may have been faster.
            schema::version(&client).await?.ok_or(error)?;
        }
        let instance = ownership::new_instance(&client).await?;
        let sent = tenure::sent();
        let taken = ownership::take(&client, &node, &instance).await?;
        Self::taken(settings, node, instance, client, (taken, sent)).await
    }

    /// As [`open`](Self::open), and waits until no other node owns the ledger. A database that
    /// cannot be reached in between is tried again.
    pub(super) async fn open_later(
        settings: PostgresSettings,
        node: Node,
        gives_up: &AtomicBool,
    ) -> Result<Self, PostgresError> {
        let mut connection = None;
        while !gives_up.load(Ordering::Relaxed) {
            let (client, instance) = match connection.take() {
                Some(connected) => connected,
                None => match connect_as_new(&settings).await {
                    Ok(connected) => connected,
                    Err(PostgresError::Newer { found, known }) => {
                        return Err(PostgresError::Newer { found, known });
                    }
                    Err(_) => {
                        sleep(node.asks_every()).await;
                        continue;
                    }
                },
            };
            let sent = tenure::sent();
            match ownership::take(&client, &node, &instance).await {
                Ok(taken) => {
                    return Self::taken(settings, node, instance, client, (taken, sent)).await;
                }
                Err(PostgresError::Owned { .. }) => connection = Some((client, instance)),
                Err(_) => {}
            }
            sleep(node.asks_every()).await;
        }
        Err(PostgresError::GivenUp)
    }

    /// The owner of a ledger that was taken just now, by a request that was sent at `sent`.
    async fn taken(
        settings: PostgresSettings,
        node: Node,
        instance: String,
        client: Client,
        (taken, sent): (Taken, Instant),
    ) -> Result<Self, PostgresError> {
        let prepared = match schema::version(&client).await {
            Ok(Some(found)) if found < schema::known() => schema::migrate(&client, found).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        let tenure = Tenure::new();
        tenure.renew(sent, node.owned_for());
        let mut owner = Self {
            settings,
            node,
            instance,
            client: Some(client),
            epoch: taken.epoch,
            commits: u64::try_from(taken.commits).unwrap_or(0),
            tenure,
            deposed_by: None,
        };
        if let Err(error) = prepared {
            owner.release(owner.node.owned_for()).await;
            return Err(error);
        }
        Ok(owner)
    }

    pub(super) fn is_deposed(&self) -> bool {
        self.deposed_by.is_some()
    }

    /// For how long the ledger is owned.
    pub(super) fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// Everything that is durable.
    pub(super) async fn load(&mut self) -> Result<Snapshot, PostgresError> {
        for _ in 1..TRIES {
            let loaded = load::snapshot(self.ready().await?.0).await;
            if loaded.is_err() && self.client.as_ref().is_none_or(Client::is_closed) {
                self.client = None;
                continue;
            }
            let (ledger, snapshot) = loaded?;
            if ledger.commits < self.commits {
                return Err(PostgresError::Lost {
                    found: ledger.commits,
                    acknowledged: self.commits,
                });
            }
            self.commits = ledger.commits;
            return Ok(snapshot);
        }
        load::snapshot(self.ready().await?.0).await.map(|(_, snapshot)| snapshot)
    }

    /// Makes a batch durable. If its outcome is unknown, it is found out under a new epoch: then
    /// nothing of it can happen later.
    pub(super) async fn commit(&mut self, batch: &Batch) -> Result<(), PostgresError> {
        let time = 2 * self.node.owned_for();
        let committed = timeout(time, self.commit_in_tries(batch)).await;
        if committed.is_err() {
            self.client = None;
        }
        committed.unwrap_or(Err(PostgresError::Timeout(time)))
    }

    async fn commit_in_tries(&mut self, batch: &Batch) -> Result<(), PostgresError> {
        let commit = self.commits + 1;
        let mut last = PostgresError::Server("it was not tried".to_owned());
        for attempt in 0..TRIES {
            let (_, found) = self.ready().await?;
            if found == commit && attempt > 0 {
                // The try before has happened.
                self.commits = commit;
                return Ok(());
            }
            self.check_count(found)?;
            match self.attempt(batch, commit).await {
                Tried::Durable => {
                    self.commits = commit;
                    return Ok(());
                }
                Tried::Failed(error) => return Err(error),
                Tried::Again(error) => last = error,
                Tried::Unknown(error) => {
                    self.client = None;
                    last = error;
                }
                Tried::Refused => {
                    let (epoch, owner) = (self.epoch, self.node.name.clone());
                    last = PostgresError::Deposed { epoch, owner };
                    let found = self.take().await?;
                    self.check_count(found)?;
                }
            }
        }
        Err(last)
    }

    fn check_count(&self, found: u64) -> Result<(), PostgresError> {
        if found == self.commits {
            return Ok(());
        }
        Err(PostgresError::Lost { found, acknowledged: self.commits })
    }

    /// Sends everything at once, and waits for all answers: one way to the server and back.
    async fn attempt(&self, batch: &Batch, commit: u64) -> Tried {
        let Some(client) = &self.client else {
            return Tried::Unknown(PostgresError::Server("no connection".to_owned()));
        };
        let owned_for = self.node.owned_for();
        let sent = tenure::sent();
        let moved = match batch.resumed {
            None => None,
            // Nobody else can have changed them: the epoch is checked with the commit.
            Some(resume) => match load::moved(client, resume).await {
                Ok(moved) => statements::move_deadlines(&moved),
                Err(error) if client.is_closed() => return Tried::Unknown(error),
                Err(error) => return Tried::Failed(error),
            },
        };
        let ledger = LedgerRow { commits: commit, ..batch.ledger };
        let ledger = statements::update_ledger(self.epoch, owned_for.as_secs_f64(), &ledger);
        let begin = statements::begin(owned_for.as_millis());
        let rows = moved.iter().chain(&batch.rows);
        let all = join4(
            client.batch_execute(&begin),
            execute(client, &ledger),
            join_all(rows.map(|statement| execute(client, statement))),
            client.batch_execute(statements::COMMIT),
        );
        let Ok((begin, ledger, rows, end)) = timeout(owned_for, all).await else {
            return Tried::Unknown(PostgresError::Timeout(owned_for));
        };
        if let Err(error) = begin {
            // Without a transaction, the other statements may have had effects.
            return Tried::Unknown(error.into());
        }
        let failed = ledger.err().into_iter().chain(rows.into_iter().filter_map(Result::err));
        let tried = judge(failed.collect(), end.err());
        if matches!(tried, Tried::Durable) {
            self.tenure.renew(sent, owned_for);
        }
        tried
    }

    /// A connection on which this node owns the ledger, and how many commits are durable.
    async fn ready(&mut self) -> Result<(&Client, u64), PostgresError> {
        if let Some(owner) = self.deposed_by.clone() {
            return Err(PostgresError::Deposed { epoch: self.epoch, owner });
        }
        let mut found = self.commits;
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = None;
            self.client = Some(connect(&self.settings).await?);
            found = self.take().await?;
        }
        match &self.client {
            Some(client) => Ok((client, found)),
            None => Err(PostgresError::Server("no connection".to_owned())),
        }
    }

    /// Takes the ledger again, under a new epoch, unless another node has it.
    async fn take(&mut self) -> Result<u64, PostgresError> {
        let Some(client) = self.client.take() else {
            return Err(PostgresError::Server("no connection".to_owned()));
        };
        let sent = tenure::sent();
        match ownership::take(&client, &self.node, &self.instance).await {
            Ok(taken) => {
                self.tenure.renew(sent, self.node.owned_for());
                self.client = Some(client);
                self.epoch = taken.epoch;
                Ok(u64::try_from(taken.commits).unwrap_or(0))
            }
            Err(PostgresError::Owned { owner, .. }) => {
                self.tenure.end();
                self.deposed_by = Some(owner.clone());
                Err(PostgresError::Deposed { epoch: self.epoch, owner })
            }
            Err(error) => Err(error),
        }
    }

    /// Owns the ledger for longer, while there is nothing to commit. What fails is tried again with
    /// the next commit or renewal.
    pub(super) async fn renew(&mut self) {
        let epoch = self.epoch;
        let node = self.node.clone();
        let tenure = self.tenure.clone();
        let renewing = async {
            let (client, _) = self.ready().await?;
            let sent = tenure::sent();
            if ownership::renew(client, &node, epoch).await? {
                tenure.renew(sent, node.owned_for());
            } else if self.epoch == epoch {
                self.take().await?;
            }
            Ok::<_, PostgresError>(())
        };
        let renewed = timeout(node.owned_for(), renewing).await;
        if !matches!(renewed, Ok(Ok(()))) {
            self.client = None;
        }
    }

    /// Gives the ledger up for another node.
    pub(super) async fn release(&mut self, patience: Duration) {
        if self.is_deposed() {
            return;
        }
        self.tenure.end();
        let instance = self.instance.clone();
        let releasing = async {
            let (client, _) = self.ready().await?;
            ownership::release(client, &instance).await
        };
        // Without it, the other node takes over when the time is up.
        let _ = timeout(patience, releasing).await;
    }
}

/// A connection to a schema that exists, and a name for this start of the node.
async fn connect_as_new(settings: &PostgresSettings) -> Result<(Client, String), PostgresError> {
    let client = connect(settings).await?;
    schema::version(&client).await?;
    let instance = ownership::new_instance(&client).await?;
    Ok((client, instance))
}

async fn execute(client: &Client, statement: &Statement) -> Result<u64, tokio_postgres::Error> {
    let parameters: Vec<_> = statement
        .parameters
        .iter()
        .map(|(value, kind)| (&**value as &(dyn tokio_postgres::types::ToSql + Sync), kind.clone()))
        .collect();
    client.execute_typed(&statement.sql, &parameters).await
}

/// What the answers mean. `COMMIT` of a transaction in which a statement failed undoes it, and is
/// no error.
fn judge(mut failed: Vec<tokio_postgres::Error>, end: Option<tokio_postgres::Error>) -> Tried {
    let is_code = |error: &tokio_postgres::Error, code: &SqlState| error.code() == Some(code);
    if let Some(error) = end {
        let is_again = is_code(&error, &SqlState::T_R_SERIALIZATION_FAILURE);
        return if PostgresError::is_unknown(&error) {
            let cause = failed.into_iter().next().unwrap_or(error);
            Tried::Unknown(cause.into())
        } else if is_again {
            Tried::Again(error.into())
        } else {
            Tried::Failed(error.into())
        };
    }
    if failed.is_empty() {
        return Tried::Durable;
    }
    let error = failed.remove(0);
    match error.code() {
        Some(code) if code == &SqlState::NOT_NULL_VIOLATION => {
            let is_epoch = error.as_db_error().is_some_and(|it| it.message().contains("epoch"));
            if is_epoch { Tried::Refused } else { Tried::Failed(error.into()) }
        }
        Some(code)
            if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED]
                .contains(code) =>
        {
            Tried::Again(error.into())
        }
        _ => Tried::Failed(error.into()),
    }
}

/// The sum of the ledger's row in a new schema.
fn empty_sum() -> i64 {
    row_sum(&LedgerRow::default().columns().map(Value::Integer))
}
