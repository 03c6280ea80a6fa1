//! A connection to the master that sentinels name.

use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::direct::{run_command, run_script, watch_keys};
use crate::fault::Fault;
use crate::scripts::Step;
use crate::transport::{KeyChanges, Reply, Transport};

/// For so long the sentinels' last answer is good.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// The master that the sentinels name. They are asked again when the connection breaks, and now and
/// then: after a failover the old master takes writes until it learns of it, and these are lost.
pub(crate) struct Sentinels {
    client: Mutex<SentinelClient>,
    current: Mutex<Option<Master>>,
    db: i64,
    config: AsyncConnectionConfig,
}

struct Master {
    address: redis::ConnectionAddr,
    connection: MultiplexedConnection,
    asked_at: Instant,
}

impl Sentinels {
    /// Connects to the master that they name now.
    pub(crate) async fn connect(
        client: SentinelClient,
        db: i64,
        config: AsyncConnectionConfig,
    ) -> RedisResult<Self> {
        let sentinels = Self { client: Mutex::new(client), current: Mutex::new(None), db, config };
        sentinels.connection().await?;
        Ok(sentinels)
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut current = self.current.lock().await;
        if let Some(master) = current.as_ref()
            && master.asked_at.elapsed() < ASKED_EVERY
        {
            return Ok(master.connection.clone());
        }
        let named = self.client.lock().await.async_get_client().await;
        let client = match (named, current.as_mut()) {
            (Ok(client), Some(master))
                if *client.get_connection_info().addr() != master.address =>
            {
                client
            }
            (Ok(client), None) => client,
            // The same master, or no answer from the sentinels: the connection stays.
            (_, Some(master)) => {
                master.asked_at = Instant::now();
                return Ok(master.connection.clone());
            }
            (Err(error), None) => return Err(error),
        };
        let connection = client.get_multiplexed_async_connection_with_config(&self.config).await?;
        let address = client.get_connection_info().addr().clone();
        *current =
            Some(Master { address, connection: connection.clone(), asked_at: Instant::now() });
        Ok(connection)
    }

    /// After an error that another master may not give, the next request asks the sentinels.
    async fn checked<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &result
            && Fault::from(error.clone()).is_passing()
        {
            *self.current.lock().await = None;
        }
        result
    }
}

impl Transport for Sentinels {
    fn command(&self, command: Cmd) -> Reply<'_, Value> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            self.checked(run_command(&mut connection, &command).await).await
        })
    }

    fn pipeline(&self, pipeline: Pipeline) -> Reply<'_, Vec<Value>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            self.checked(pipeline.query_async(&mut connection).await).await
        })
    }

    fn script(
        &self,
        step: &'static Step,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Reply<'_, Value> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            self.checked(run_script(&mut connection, step, keys, args).await).await
        })
    }

    fn watch(&self, keys: Vec<String>) -> BoxFuture<'_, Option<KeyChanges>> {
        Box::pin(async move {
            let mut connection = self.connection().await.ok()?;
            let client = self.client.lock().await.async_get_client().await.ok()?;
            watch_keys(&mut connection, &client, self.db, &keys).await
        })
    }

    fn is_cluster(&self) -> bool {
        false
    }
}
