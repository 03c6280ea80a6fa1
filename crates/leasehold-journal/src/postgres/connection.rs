//! A connection, and whether the server at its other end keeps what it acknowledges.

use tokio_postgres::Client;

use super::error::PostgresError;
use super::settings::PostgresSettings;

/// Connects, and checks how the server is set.
pub(super) async fn connect(settings: &PostgresSettings) -> Result<Client, PostgresError> {
    let config = settings.complete()?;
    let connected = config.connect(settings.tls().connector()).await;
    let (client, connection) =
        connected.map_err(|error| PostgresError::connecting(settings.place(), &error))?;
    // It ends with the client. What fails on it fails the statement that was under way.
    tokio::spawn(async move { drop(connection.await) });
    // A server that does not have a parameter says nothing about it.
    let parameters = "SELECT current_setting('synchronous_commit', true), \
                      current_setting('server_encoding', true)";
    let row = client.query_typed_one(parameters, &[]).await?;
    let check = |index, setting, expected, is_right: fn(&str) -> bool| match row
        .try_get::<_, Option<String>>(index)?
    {
        Some(value) if !is_right(&value) => {
            Err(PostgresError::Setting { setting, value, expected })
        }
        _ => Ok(()),
    };
    check(0, "synchronous_commit", "on, local, remote_write or remote_apply", |it| it != "off")?;
    check(1, "server_encoding", "UTF8", |it| it.eq_ignore_ascii_case("utf8"))?;
    Ok(client)
}
