//! Where the journal is, and how the server comes to own it.

use std::error::Error;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leasehold_journal::{
    Journal, Loss, Node, OpenError, PostgresError, PostgresJournal, PostgresSettings,
    SqliteJournal, Tenure,
};
use leasehold_server::stand_by;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Where the journal is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a file in the data directory.
    File(Loss),
    /// In a PostgreSQL that other nodes may use too.
    Postgres(Box<(PostgresSettings, Node)>),
}

/// A journal that this server owns.
pub(super) struct Owned {
    pub(super) journal: Box<dyn Journal>,
    /// Turns true when another node has taken it over. A file is never taken over.
    deposed: Option<watch::Receiver<bool>>,
    /// For how long this server owns it. A file is owned until it is closed.
    pub(super) tenure: Option<Tenure>,
}

/// Why a PostgreSQL is not used, with what to do about it.
pub(super) fn advice(error: &PostgresError) -> &'static str {
    match error {
        PostgresError::Unreachable { .. } | PostgresError::Timeout(_) => {
            "start it, or correct --journal"
        }
        PostgresError::Login { .. } => {
            "correct its user in --journal, or the password in --journal-password-file or PGPASSFILE"
        }
        PostgresError::ReadOnly => "name the primary server with --journal",
        PostgresError::Setting { .. } => "set it so for this user or database",
        PostgresError::Newer { .. } => "use the version that wrote it, or a newer one",
        PostgresError::Full => "make room on its disk",
        PostgresError::Owned { .. } => "stop that node first",
        PostgresError::Damaged { .. } | PostgresError::Lost { .. } => "restore it from a backup",
        _ => "see docs/postgres.md",
    }
}

impl Owned {
    /// A journal in a file.
    pub(super) fn file(directory: &std::path::Path, loss: Loss) -> Result<Self, OpenError> {
        let journal = SqliteJournal::open_with(directory, loss)?;
        if journal.commits_missing() > 0 {
            tracing::warn!(
                commits_missing = journal.commits_missing(),
                "the journal holds less than was acknowledged, and is used as it is; holders of \
                 leases that are missing have no slots any more, though they may still run"
            );
        }
        Ok(Self { journal: Box::new(journal), deposed: None, tenure: None })
    }

    /// A journal in a PostgreSQL, once no other node owns it. Until then, requests are answered
    /// that this node stands by, after `standing_by` was called. `None` if `stop` resolves before.
    pub(super) async fn postgres<F: Future<Output = ()>>(
        (settings, node): (PostgresSettings, Node),
        listener: &StdTcpListener,
        standing_by: impl FnOnce(),
        stop: F,
    ) -> Result<Option<Self>, PostgresError> {
        let (first_settings, first_node) = (settings.clone(), node.clone());
        let first = blocking(move || PostgresJournal::open(first_settings, first_node)).await;
        let opened = match first {
            Err(PostgresError::Owned { owner, epoch }) => {
                standing_by();
                tracing::info!(%owner, epoch, "another node owns the ledger; this one stands by");
                let gives_up = Arc::new(AtomicBool::new(false));
                let stops = gives_up.clone();
                let mut opening = std::pin::pin!(blocking(move || {
                    PostgresJournal::open_later(settings, node, stops)
                }));
                let listener = tokio_listener(listener)
                    .map_err(|error| PostgresError::Thread(error.to_string()))?;
                let ended = async {
                    tokio::select! {
                        biased;
                        () = stop => None,
                        opened = &mut opening => Some(opened),
                    }
                };
                match stand_by(listener, ended).await {
                    Some(opened) => opened,
                    None => {
                        gives_up.store(true, Ordering::Relaxed);
                        return Ok(None);
                    }
                }
            }
            opened => opened,
        }?;
        tracing::info!("this node owns the ledger");
        let deposed = Some(opened.deposed());
        let tenure = Some(opened.tenure());
        Ok(Some(Self { journal: Box::new(opened), deposed, tenure }))
    }

    /// Resolves when another node has taken the ledger over.
    pub(super) fn lost(&self) -> impl Future<Output = ()> + use<> {
        let deposed = self.deposed.clone();
        async move {
            let is_lost = match deposed {
                Some(mut deposed) => deposed.wait_for(|deposed| *deposed).await.is_ok(),
                None => false,
            };
            if !is_lost {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The socket again, for a part of the server that closes it in the end.
pub(super) fn tokio_listener(listener: &StdTcpListener) -> io::Result<TcpListener> {
    listener.try_clone().and_then(TcpListener::from_std)
}

/// Opening waits for a server elsewhere.
async fn blocking<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, PostgresError> + Send + 'static,
) -> Result<T, PostgresError> {
    let opened = tokio::task::spawn_blocking(open).await;
    opened.unwrap_or_else(|error: tokio::task::JoinError| {
        Err(PostgresError::Thread((&error as &dyn Error).to_string()))
    })
}
