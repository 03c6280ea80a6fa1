//! The connection to Redis: one server, the master that sentinels name, or a cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult, TlsMode, Value,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::address::{Address, Place};
use crate::fault::Fault;
use crate::scripts::Step;
use crate::transport::{Reply, Transport};

/// A Redis that is slower than this counts as unreachable; short enough for several tries within a
/// lock's time.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection to Redis that reconnects by itself. Clones share it.
#[derive(Clone)]
pub struct Redis {
    pub(crate) transport: Arc<dyn Transport>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}

/// Something that says when one of a set of keys has changed.
pub struct KeyWatch {
    pub(crate) changes: BoxStream<'static, ()>,
}

impl fmt::Debug for KeyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyWatch")
    }
}

impl Redis {
    /// Connects, so that a wrong address or password shows at once.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses the login.
    pub async fn connect(address: &Address) -> Result<Self, Fault> {
        let transport: Arc<dyn Transport> = match &address.place {
            Place::Server(info) => {
                let client = Client::open(info.clone())?;
                let manager =
                    ConnectionManager::new_with_config(client.clone(), manager_config()).await?;
                let notifier = Some((client, address.db()));
                Arc::new(Direct { connection: manager, notifier })
            }
            Place::Sentinels { sentinels, master, node } => {
                let node_info = SentinelNodeConnectionInfo::default()
                    .set_redis_connection_info(node.redis_settings().clone());
                let node_info = if matches!(node.addr(), redis::ConnectionAddr::TcpTls { .. }) {
                    node_info.set_tls_mode(TlsMode::Secure)
                } else {
                    node_info
                };
                let client = SentinelClient::build(
                    sentinels.clone(),
                    master.clone(),
                    Some(node_info),
                    SentinelServerType::Master,
                )?;
                let mastered = Sentinels {
                    client: Mutex::new(client),
                    current: Mutex::new(None),
                    db: address.db(),
                };
                mastered.connection().await?;
                Arc::new(mastered)
            }
            Place::Cluster(nodes) => {
                let client = redis::cluster::ClusterClientBuilder::new(nodes.clone())
                    .response_timeout(RESPONSE_TIMEOUT)
                    .connection_timeout(CONNECTION_TIMEOUT)
                    .retries(2)
                    .build()?;
                let connection = client.get_async_connection().await?;
                Arc::new(Direct { connection, notifier: None })
            }
        };
        Ok(Self { transport })
    }

    /// Whether this is a cluster, where keys have to share a slot to be touched in one step.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.transport.is_cluster()
    }

    pub(crate) async fn run(
        &self,
        step: &'static Step,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Result<Value, Fault> {
        Ok(self.transport.script(step, keys, args).await?)
    }

    pub(crate) async fn query<T: FromRedisValue>(&self, command: Cmd) -> Result<T, Fault> {
        let value = self.transport.command(command).await?;
        T::from_redis_value(value).map_err(|error| Fault::unexpected(error.to_string()))
    }

    pub(crate) async fn pipeline(&self, pipeline: Pipeline) -> Result<Vec<Value>, Fault> {
        Ok(self.transport.pipeline(pipeline).await?)
    }

    /// The time by Redis's clock, in Unix seconds.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn time(&self) -> Result<f64, Fault> {
        let (seconds, micros): (u64, u64) = self.query(redis::cmd("TIME")).await?;
        Ok(Duration::new(seconds, 0).as_secs_f64() + Duration::from_micros(micros).as_secs_f64())
    }
}

fn manager_config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(50))
        .set_max_delay(Duration::from_millis(500))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
}

fn async_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
}

/// Runs a script by its hash, and loads it where Redis does not know it yet.
async fn run_script<C: redis::aio::ConnectionLike>(
    connection: &mut C,
    step: &'static Step,
    keys: Vec<String>,
    args: Vec<String>,
) -> RedisResult<Value> {
    let mut invocation = step.script.prepare_invoke();
    for key in keys {
        invocation.key(key);
    }
    for arg in args {
        invocation.arg(arg);
    }
    invocation.invoke_async(connection).await
}

async fn run_pipeline<C: redis::aio::ConnectionLike>(
    connection: &mut C,
    pipeline: &Pipeline,
) -> RedisResult<Vec<Value>> {
    pipeline.query_async(connection).await
}

async fn run_command<C: redis::aio::ConnectionLike>(
    connection: &mut C,
    command: &Cmd,
) -> RedisResult<Value> {
    connection.req_packed_command(command).await?.extract_error()
}

/// Hears of changes of keys, where Redis tells of them.
async fn watch_keys<C: redis::aio::ConnectionLike>(
    connection: &mut C,
    client: &Client,
    db: i64,
    keys: &[String],
) -> Option<KeyWatch> {
    let flags = notification_flags(connection).await?;
    if notifies_of_keys(&flags) { subscribe(client, db, keys).await } else { None }
}

/// A connection that stays what it is, or replaces itself.
struct Direct<C> {
    connection: C,
    /// Whom to ask for changes of keys. A node of a cluster tells only of its own keys, and they
    /// move between nodes: a cluster is polled.
    notifier: Option<(Client, i64)>,
}

impl<C> Transport for Direct<C>
where
    C: redis::aio::ConnectionLike + Clone + Send + Sync + 'static,
{
    fn command(&self, command: Cmd) -> Reply<'_, Value> {
        let mut connection = self.connection.clone();
        Box::pin(async move { run_command(&mut connection, &command).await })
    }

    fn pipeline(&self, pipeline: Pipeline) -> Reply<'_, Vec<Value>> {
        let mut connection = self.connection.clone();
        Box::pin(async move { run_pipeline(&mut connection, &pipeline).await })
    }

    fn script(
        &self,
        step: &'static Step,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Reply<'_, Value> {
        let mut connection = self.connection.clone();
        Box::pin(async move { run_script(&mut connection, step, keys, args).await })
    }

    fn watch(&self, keys: Vec<String>) -> BoxFuture<'_, Option<KeyWatch>> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let (client, db) = self.notifier.as_ref()?;
            watch_keys(&mut connection, client, *db, &keys).await
        })
    }

    fn is_cluster(&self) -> bool {
        self.notifier.is_none()
    }
}

async fn notification_flags<C: redis::aio::ConnectionLike>(connection: &mut C) -> Option<String> {
    let config: RedisResult<Vec<String>> =
        redis::cmd("CONFIG").arg("GET").arg("notify-keyspace-events").query_async(connection).await;
    config.ok()?.into_iter().nth(1)
}

/// Deletions and expiries of keys, which end a token lock, and SETs, which move an old one.
fn notifies_of_keys(flags: &str) -> bool {
    flags.contains('K') && (flags.contains('A') || (flags.contains('g') && flags.contains('x')))
}

async fn subscribe(client: &Client, db: i64, keys: &[String]) -> Option<KeyWatch> {
    let mut pubsub = client.get_async_pubsub().await.ok()?;
    for key in keys {
        pubsub.subscribe(format!("__keyspace@{db}__:{key}")).await.ok()?;
    }
    Some(KeyWatch { changes: pubsub.into_on_message().map(|_| ()).boxed() })
}

/// The master that the sentinels name. They are asked again when the connection breaks, and now and
/// then: after a failover the old master takes writes until it learns of it, and what it takes is
/// lost.
struct Sentinels {
    client: Mutex<SentinelClient>,
    current: Mutex<Option<Master>>,
    db: i64,
}

struct Master {
    address: redis::ConnectionAddr,
    connection: MultiplexedConnection,
    asked_at: Instant,
}

/// For so long the sentinels' last answer is good.
const SENTINELS_ASKED_EVERY: Duration = Duration::from_secs(1);

impl Sentinels {
    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut current = self.current.lock().await;
        if let Some(master) = current.as_ref()
            && master.asked_at.elapsed() < SENTINELS_ASKED_EVERY
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
            // The same master, or no answer from the sentinels: go on with the connection that
            // works.
            (_, Some(master)) => {
                master.asked_at = Instant::now();
                return Ok(master.connection.clone());
            }
            (Err(error), None) => return Err(error),
        };
        let connection =
            client.get_multiplexed_async_connection_with_config(&async_config()).await?;
        let address = client.get_connection_info().addr().clone();
        *current =
            Some(Master { address, connection: connection.clone(), asked_at: Instant::now() });
        Ok(connection)
    }

    /// After an error that another master may not give, the next request asks the sentinels.
    async fn seen<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &result {
            let fault = Fault::from(error.clone());
            if fault.is_passing() {
                *self.current.lock().await = None;
            }
        }
        result
    }
}

impl Transport for Sentinels {
    fn command(&self, command: Cmd) -> Reply<'_, Value> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let result = run_command(&mut connection, &command).await;
            self.seen(result).await
        })
    }

    fn pipeline(&self, pipeline: Pipeline) -> Reply<'_, Vec<Value>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let result = run_pipeline(&mut connection, &pipeline).await;
            self.seen(result).await
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
            let result = run_script(&mut connection, step, keys, args).await;
            self.seen(result).await
        })
    }

    fn watch(&self, keys: Vec<String>) -> BoxFuture<'_, Option<KeyWatch>> {
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
