//! What lies between a process and the store: delays, lost requests, lost answers, and long
//! silences.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::time::{Instant, sleep, sleep_until};

use super::store::Server;
use crate::redis_connection::Redis;
use crate::scripts::Step;
use crate::transport::{KeyChanges, Reply, Transport};

/// How bad the network is, in percent of the requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) slow: u8,
    pub(super) lost: u8,
    pub(super) slowest: Duration,
}

/// One process's connection. While it is silenced, nothing that it sent arrives and nothing is
/// answered: a process that is paused, or a network that is parted.
pub(super) struct Line {
    server: Arc<Server>,
    weather: Weather,
    silent_until: Mutex<Instant>,
}

impl Line {
    pub(super) fn new(server: Arc<Server>, weather: Weather) -> Arc<Self> {
        Arc::new(Self { server, weather, silent_until: Mutex::new(Instant::now()) })
    }

    pub(super) fn redis(self: &Arc<Self>) -> Redis {
        Redis { transport: Arc::new(Endpoint(Arc::clone(self))) }
    }

    pub(super) fn silence(&self, length: Duration) {
        *self.silent_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + length;
    }

    async fn delay(&self) {
        let silent_until = *self.silent_until.lock().unwrap_or_else(PoisonError::into_inner);
        sleep_until(silent_until).await;
        let longest = if fastrand::u8(..100) < self.weather.slow {
            self.weather.slowest
        } else {
            Duration::from_millis(2)
        };
        sleep(longest.mul_f64(fastrand::f64())).await;
    }

    fn is_lost(&self) -> bool {
        fastrand::u8(..100) < self.weather.lost
    }

    async fn request<T>(&self, execute: impl FnOnce(&Server) -> T + Send) -> RedisResult<T> {
        self.delay().await;
        if self.is_lost() {
            return Err(self.gone().await);
        }
        let answer = execute(&self.server);
        if self.is_lost() {
            return Err(self.gone().await);
        }
        self.delay().await;
        Ok(answer)
    }

    async fn gone(&self) -> RedisError {
        sleep(self.weather.slowest.mul_f64(fastrand::f64())).await;
        RedisError::from(io::Error::new(io::ErrorKind::ConnectionReset, "lost"))
    }
}

struct Endpoint(Arc<Line>);

fn parts(command: &Cmd) -> Vec<Vec<u8>> {
    command
        .args_iter()
        .map(|arg| match arg {
            redis::Arg::Simple(bytes) => bytes.to_vec(),
            _ => b"0".to_vec(),
        })
        .collect()
}

impl Transport for Endpoint {
    fn command(&self, command: Cmd) -> Reply<'_, Value> {
        Box::pin(
            async move { self.0.request(move |server| server.store.call(&parts(&command))).await },
        )
    }

    fn pipeline(&self, pipeline: Pipeline) -> Reply<'_, Vec<Value>> {
        let commands: Vec<Vec<Vec<u8>>> = pipeline.cmd_iter().map(parts).collect();
        Box::pin(async move {
            self.0
                .request(move |server| {
                    commands.iter().map(|command| server.store.call(command)).collect()
                })
                .await
        })
    }

    fn script(
        &self,
        step: &'static Step,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Reply<'_, Value> {
        Box::pin(async move { self.0.request(move |server| server.script(step, keys, args)).await })
    }

    fn watch(&self, _keys: Vec<String>) -> BoxFuture<'_, Option<KeyChanges>> {
        Box::pin(async { None })
    }

    fn is_cluster(&self) -> bool {
        false
    }
}
