//! What the rest of the crate needs of a connection. Production speaks to Redis; the simulation
//! runs the same scripts on a store in memory under its own clock.

use futures_util::future::BoxFuture;
use redis::{Cmd, Pipeline, RedisResult, Value};

use crate::redis_connection::KeyWatch;
use crate::scripts::Step;

pub(crate) type Reply<'a, T> = BoxFuture<'a, RedisResult<T>>;

pub(crate) trait Transport: Send + Sync {
    fn command(&self, command: Cmd) -> Reply<'_, Value>;

    /// Several commands in one round trip; the first error answer fails all.
    fn pipeline(&self, pipeline: Pipeline) -> Reply<'_, Vec<Value>>;

    fn script(&self, step: &'static Step, keys: Vec<String>, args: Vec<String>)
    -> Reply<'_, Value>;

    /// Tells of changes of these keys, where Redis has its keyspace notifications on and lets us
    /// hear them.
    fn watch(&self, keys: Vec<String>) -> BoxFuture<'_, Option<KeyWatch>>;

    /// Whether keys live on several nodes, so that a walk over one of them is not all.
    fn is_cluster(&self) -> bool;
}
