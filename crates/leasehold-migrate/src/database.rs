//! A database of Prefect's: SQLite or PostgreSQL. Its values are texts here, as PostgreSQL writes
//! them, so that what reads and writes tables is there once.

mod copy;
mod postgres;
mod sqlite;

use std::collections::BTreeSet;

use crate::error::Error;
use crate::place::Place;
use crate::revision::{Shape, shape_of};

/// Whether a database is opened to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing of it is changed, not even a file beside it.
    Read,
    /// It is changed in one transaction.
    Write,
}

/// The columns of a row.
pub(crate) type Row = Vec<Option<String>>;

/// A connection in a transaction.
pub(crate) struct Database {
    place: String,
    dialect: Dialect,
}

enum Dialect {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Uuid,
    Time,
    Text,
    Integer,
    Real,
    Boolean,
    Json,
}

impl Database {
    /// Opens the database of a place, or nothing if it is an API.
    pub(crate) async fn open(place: &Place, access: Access) -> Result<Option<Self>, Error> {
        let shown = place.to_string();
        let dialect = match place {
            Place::Api(_) => return Ok(None),
            Place::Sqlite(path) => Dialect::Sqlite(sqlite::Sqlite::open(path, access)?),
            Place::Postgres(url) => {
                Dialect::Postgres(postgres::Postgres::connect(url, &shown, access).await?)
            }
        };
        Ok(Some(Self { place: shown, dialect }))
    }

    /// Where it is, without a password.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The rows that a statement finds.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<Row>, Error> {
        match &self.dialect {
            Dialect::Sqlite(sqlite) => sqlite.rows(sql).map_err(|e| sqlite::error(&self.place, &e)),
            Dialect::Postgres(postgres) => {
                postgres.rows(sql).await.map_err(|e| postgres::error(&self.place, &e))
            }
        }
    }

    /// Runs a statement in which `{}` stands for each parameter. Returns how many rows it changed.
    pub(crate) async fn execute(
        &self,
        sql: &str,
        parameters: &[(Kind, Option<String>)],
    ) -> Result<u64, Error> {
        let mut numbered = String::new();
        let mut kinds = parameters.iter().zip(1..);
        for (at, part) in sql.split("{}").enumerate() {
            if at > 0
                && let Some(((kind, _), number)) = kinds.next()
            {
                numbered += &self.placeholder(*kind, number);
            }
            numbered += part;
        }
        let values: Vec<_> = parameters.iter().map(|(_, value)| value.as_deref()).collect();
        match &self.dialect {
            Dialect::Sqlite(sqlite) => {
                let done = sqlite.execute(&numbered, &values);
                done.map_err(|e| sqlite::error(&self.place, &e))
            }
            Dialect::Postgres(postgres) => {
                let done = postgres.execute(&numbered, &values).await;
                done.map_err(|e| postgres::error(&self.place, &e))
            }
        }
    }

    /// SQLite's columns convert a text to their own type; PostgreSQL needs a cast.
    fn placeholder(&self, kind: Kind, number: usize) -> String {
        let cast = match (&self.dialect, kind) {
            (Dialect::Sqlite(_), _) => return format!("?{number}"),
            (_, Kind::Uuid) => "uuid",
            (_, Kind::Time) => "timestamptz",
            (_, Kind::Text) => "text",
            (_, Kind::Integer) => "integer",
            (_, Kind::Real) => "double precision",
            (_, Kind::Boolean) => "boolean",
            (_, Kind::Json) => "jsonb",
        };
        format!("${number}::text::{cast}")
    }

    /// How this database writes a time.
    pub(crate) fn time(&self, at: leasehold_engine::Timestamp) -> String {
        match &self.dialect {
            Dialect::Sqlite(_) => crate::moment::show_sqlite(at),
            Dialect::Postgres(_) => crate::moment::show(at),
        }
    }

    /// How this database writes a truth.
    pub(crate) fn boolean(&self, value: bool) -> String {
        match &self.dialect {
            Dialect::Sqlite(_) => u8::from(value).to_string(),
            Dialect::Postgres(_) => value.to_string(),
        }
    }

    /// Makes the changes durable.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        match self.dialect {
            Dialect::Sqlite(sqlite) => {
                sqlite.execute("COMMIT", &[]).map_err(|e| sqlite::error(&self.place, &e))
            }
            Dialect::Postgres(postgres) => {
                postgres.execute("COMMIT", &[]).await.map_err(|e| postgres::error(&self.place, &e))
            }
        }
        .map(drop)
    }

    /// Ends the transaction of a reader, so that a server does not report a lost connection.
    pub(crate) async fn close(self) {
        if let Dialect::Postgres(postgres) = self.dialect {
            // What was read is read.
            let _ = postgres.execute("ROLLBACK", &[]).await;
        }
    }

    /// The columns of a table; none if there is no such table.
    pub(crate) async fn columns(&self, table: &'static str) -> Result<BTreeSet<String>, Error> {
        let sql = match &self.dialect {
            Dialect::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Dialect::Postgres(_) => format!(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('{table}') \
                 AND attnum > 0 AND NOT attisdropped"
            ),
        };
        let rows = self.rows(&sql).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// The revision of Prefect's schema, and where limits are in it. A revision that is not known
    /// is an error, unless the caller insists: then limits are where the newest known one has
    /// them.
    pub(crate) async fn shape(&self, insist: bool) -> Result<(String, Shape), Error> {
        let foreign = |missing| Error::Foreign { place: self.place.clone(), missing };
        if self.columns("alembic_version").await?.is_empty() {
            return Err(foreign("table alembic_version"));
        }
        let rows = self.rows("SELECT version_num FROM alembic_version").await?;
        let revision = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        let revision = revision.ok_or_else(|| foreign("row in alembic_version"))?;
        match shape_of(&revision) {
            Some(shape) => Ok((revision, shape)),
            None if self.columns("concurrency_limit").await?.is_empty() => {
                Err(foreign("table concurrency_limit"))
            }
            None if insist => Ok((revision, Shape::OneTable)),
            None => Err(Error::Newer { place: self.place.clone(), revision }),
        }
    }
}
