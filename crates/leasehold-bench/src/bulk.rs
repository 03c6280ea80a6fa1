//! Sends many requests as fast as possible, through the API that all clients use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::client::{CREATE, create_body, succeeded};
use crate::report::progress;
use crate::systems::Server;

/// Enough that one sync covers many requests.
const CONNECTIONS: usize = 256;
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Posts `count` bodies, each of which has to succeed.
pub(crate) async fn post(
    server: &Server,
    path: &'static str,
    count: usize,
    body: impl Fn(usize) -> Bytes + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS.min(count) {
        let mut client = server.client().await?;
        let (next, body) = (next.clone(), body.clone());
        tasks.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return anyhow::Ok(());
                }
                succeeded(client.post(path, body(index)).await?)?;
            }
        });
    }
    let mut interval = tokio::time::interval(PROGRESS_INTERVAL);
    interval.reset();
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended?.with_context(|| path)?,
                None => return Ok(()),
            },
            _ = interval.tick() => {
                progress(format_args!("{} of {count}", next.load(Ordering::Relaxed).min(count)));
            }
        }
    }
}

/// Creates `count` limits of `slots` slots each, named by `name`.
pub(crate) async fn create_limits(
    server: &Server,
    count: usize,
    slots: u64,
    name: fn(usize) -> String,
) -> anyhow::Result<()> {
    progress(format_args!("making {count} limits"));
    post(server, CREATE, count, move |index| create_body(&name(index), slots, 0.0)).await
}
