//! A connection to one server, or to a cluster.

use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt;
use redis::aio::ConnectionLike;
use redis::{Client, Cmd, Pipeline, RedisResult, Value};

use crate::scripts::Step;
use crate::transport::{KeyChanges, Reply, Transport};

/// A connection that reconnects by itself.
pub(crate) struct Direct<C> {
    pub(crate) connection: C,
    /// The client for subscriptions to changes of keys, and its database. A node of a cluster
    /// publishes the changes of its own keys alone, and keys move between nodes: a cluster is
    /// polled.
    pub(crate) notifier: Option<(Client, i64)>,
}

impl<C> Transport for Direct<C>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    fn command(&self, command: Cmd) -> Reply<'_, Value> {
        let mut connection = self.connection.clone();
        Box::pin(async move { run_command(&mut connection, &command).await })
    }

    fn pipeline(&self, pipeline: Pipeline) -> Reply<'_, Vec<Value>> {
        let mut connection = self.connection.clone();
        Box::pin(async move { pipeline.query_async(&mut connection).await })
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

    fn watch(&self, keys: Vec<String>) -> BoxFuture<'_, Option<KeyChanges>> {
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

pub(crate) async fn run_command<C: ConnectionLike>(
    connection: &mut C,
    command: &Cmd,
) -> RedisResult<Value> {
    connection.req_packed_command(command).await?.extract_error()
}

/// Runs a script by its hash, and loads it if Redis does not have it yet.
pub(crate) async fn run_script<C: ConnectionLike>(
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

/// Subscribes to the changes of these keys, if Redis publishes them.
pub(crate) async fn watch_keys<C: ConnectionLike>(
    connection: &mut C,
    client: &Client,
    db: i64,
    keys: &[String],
) -> Option<KeyChanges> {
    let config: RedisResult<Vec<String>> =
        redis::cmd("CONFIG").arg("GET").arg("notify-keyspace-events").query_async(connection).await;
    if !publishes_changes(config.ok()?.get(1)?) {
        return None;
    }
    let mut pubsub = client.get_async_pubsub().await.ok()?;
    for key in keys {
        pubsub.subscribe(format!("__keyspace@{db}__:{key}")).await.ok()?;
    }
    Some(pubsub.into_on_message().map(|_| ()).boxed())
}

/// Deletions and expiries of keys, which end a token lock, and SETs, which move an old one.
fn publishes_changes(flags: &str) -> bool {
    flags.contains('K') && (flags.contains('A') || (flags.contains('g') && flags.contains('x')))
}
