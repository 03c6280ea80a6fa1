//! The handle of a Redis: one server, the master that sentinels name, or a cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClientBuilder;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, TlsMode, Value};

use crate::address::{Address, Place};
use crate::direct::Direct;
use crate::fault::Fault;
use crate::scripts::Step;
use crate::sentinels::Sentinels;
use crate::transport::Transport;

/// A slower Redis counts as unreachable; short enough for several tries within a lock's ttl.
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

impl Redis {
    /// Connects, so that a wrong address or password shows at once.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses the login.
    pub async fn connect(address: &Address) -> Result<Self, Fault> {
        let transport: Arc<dyn Transport> = match &address.place {
            Place::Server(info) => {
                let client = Client::open(info.clone())?;
                let config = ConnectionManagerConfig::new()
                    .set_number_of_retries(1)
                    .set_min_delay(Duration::from_millis(50))
                    .set_max_delay(Duration::from_millis(500))
                    .set_response_timeout(Some(RESPONSE_TIMEOUT))
                    .set_connection_timeout(Some(CONNECTION_TIMEOUT));
                let connection = ConnectionManager::new_with_config(client.clone(), config).await?;
                Arc::new(Direct { connection, notifier: Some((client, address.db())) })
            }
            Place::Sentinels { sentinels, master, node } => {
                let mut node_info = SentinelNodeConnectionInfo::default()
                    .set_redis_connection_info(node.redis_settings().clone());
                if matches!(node.addr(), redis::ConnectionAddr::TcpTls { .. }) {
                    node_info = node_info.set_tls_mode(TlsMode::Secure);
                }
                let client = SentinelClient::build(
                    sentinels.clone(),
                    master.clone(),
                    Some(node_info),
                    SentinelServerType::Master,
                )?;
                let config = AsyncConnectionConfig::new()
                    .set_response_timeout(Some(RESPONSE_TIMEOUT))
                    .set_connection_timeout(Some(CONNECTION_TIMEOUT));
                Arc::new(Sentinels::connect(client, address.db(), config).await?)
            }
            Place::Cluster(nodes) => {
                let client = ClusterClientBuilder::new(nodes.clone())
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

    /// Whether this is a cluster, where all keys of one step have to share a slot.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.transport.is_cluster()
    }

    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        step: &'static Step,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Result<T, Fault> {
        typed(self.transport.script(step, keys, args).await?)
    }

    pub(crate) async fn query<T: FromRedisValue>(&self, command: Cmd) -> Result<T, Fault> {
        typed(self.transport.command(command).await?)
    }

    pub(crate) async fn pipeline(&self, pipeline: Pipeline) -> Result<Answers, Fault> {
        Ok(Answers(self.transport.pipeline(pipeline).await?.into_iter()))
    }

    /// The time by Redis's clock, in Unix seconds.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn time(&self) -> Result<f64, Fault> {
        self.query(redis::cmd("TIME")).await.map(unix_seconds)
    }
}

/// The answers of a pipeline, in the order of its commands.
pub(crate) struct Answers(std::vec::IntoIter<Value>);

impl Answers {
    pub(crate) fn next<T: FromRedisValue>(&mut self) -> Result<T, Fault> {
        typed(self.0.next().ok_or_else(|| Fault::unexpected("fewer answers than commands"))?)
    }

    /// The answer of a TIME, in Unix seconds.
    pub(crate) fn next_time(&mut self) -> Result<f64, Fault> {
        self.next().map(unix_seconds)
    }
}

fn typed<T: FromRedisValue>(value: Value) -> Result<T, Fault> {
    T::from_redis_value(value).map_err(|error| Fault::unexpected(error.to_string()))
}

fn unix_seconds((seconds, micros): (u64, u64)) -> f64 {
    (Duration::from_secs(seconds) + Duration::from_micros(micros)).as_secs_f64()
}
