//! Prefect's PostgreSQL database.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Access, Row};
use crate::error::{Error, causes};

pub(super) struct Postgres {
    client: Client,
}

impl Postgres {
    pub(super) async fn connect(url: &str, place: &str, access: Access) -> Result<Self, Error> {
        let wrong = |error: tokio_postgres::Error| Error::Unreachable {
            place: place.to_owned(),
            reason: causes(&error),
        };
        let mut config: Config = url.parse().map_err(wrong)?;
        config.connect_timeout(std::time::Duration::from_secs(10));
        config.application_name("leasehold");
        let client = match config.get_ssl_mode() {
            SslMode::Disable => plain(&config).await,
            SslMode::Prefer => match secure(&config, place).await? {
                // A certificate that cannot be verified, as of a Debian server.
                Err(error) if error.as_db_error().is_none() => {
                    plain(config.ssl_mode(SslMode::Disable)).await
                }
                connected => connected,
            },
            _ => secure(&config, place).await?,
        };
        let client = client.map_err(|e| error(place, &e))?;
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Access::Write => "BEGIN",
        };
        let prepare = format!("SET TIME ZONE 'UTC'; SET lock_timeout = '10s'; {begin}");
        client.batch_execute(&prepare).await.map_err(|e| error(place, &e))?;
        Ok(Self { client })
    }

    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
        let answers = self.client.simple_query(sql).await?;
        let rows = answers.into_iter().filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    pub(super) async fn execute(
        &self,
        sql: &str,
        values: &[Option<&str>],
    ) -> Result<u64, tokio_postgres::Error> {
        let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.client.execute(sql, &values).await
    }
}

async fn plain(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    drop(tokio::spawn(connection));
    Ok(client)
}

async fn secure(
    config: &Config,
    place: &str,
) -> Result<Result<Client, tokio_postgres::Error>, Error> {
    let tls = MakeRustlsConnect::new(tls_config(place)?);
    Ok(match config.connect(tls).await {
        Ok((client, connection)) => {
            drop(tokio::spawn(connection));
            Ok(client)
        }
        Err(error) => Err(error),
    })
}

/// The platform's roots; SSL_CERT_FILE names others.
fn tls_config(place: &str) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| Error::Unreachable {
        place: place.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

pub(super) fn error(place: &str, error: &tokio_postgres::Error) -> Error {
    let place = place.to_owned();
    let reason =
        error.as_db_error().map_or_else(|| causes(error), |error| error.message().to_owned());
    match error.code() {
        Some(
            &SqlState::INVALID_PASSWORD
            | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            | &SqlState::INSUFFICIENT_PRIVILEGE,
        ) => Error::Login { place, reason },
        Some(&SqlState::LOCK_NOT_AVAILABLE) => Error::Locked { place },
        Some(&SqlState::INVALID_CATALOG_NAME) => Error::Foreign { place, missing: "such database" },
        Some(_) => Error::Database { place, reason },
        None if error.is_closed() || causes(error).contains("connect") => {
            Error::Unreachable { place, reason }
        }
        None if causes(error).contains("password") => Error::Login { place, reason },
        None => Error::Unreachable { place, reason },
    }
}
