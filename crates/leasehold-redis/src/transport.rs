//! What the rest of the crate needs of a connection. Production speaks to Redis; the simulation
//! runs the same scripts on a store in memory under its own clock.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use redis::{Cmd, Pipeline, RedisResult, Value};

use crate::scripts::Step;

pub(crate) type Reply<'a, T> = BoxFuture<'a, RedisResult<T>>;

/// An item for each change of a set of keys.
pub(crate) type KeyChanges = BoxStream<'static, ()>;

pub(crate) trait Transport: Send + Sync {
    fn command(&self, command: Cmd) -> Reply<'_, Value>;

    /// Several commands in one round trip; the first error answer fails all.
    fn pipeline(&self, pipeline: Pipeline) -> Reply<'_, Vec<Value>>;

    fn script(&self, step: &'static Step, keys: Vec<String>, args: Vec<String>)
    -> Reply<'_, Value>;

    /// Subscribes to the changes of these keys, if Redis publishes them and the user may subscribe.
    fn watch(&self, keys: Vec<String>) -> BoxFuture<'_, Option<KeyChanges>>;

    /// Whether keys live on several nodes, so that a walk over one of them is not all.
    fn is_cluster(&self) -> bool;
}
