//! WebSockets that are passed on: the handshake, then the bytes of both directions. The events that
//! clients send are read as they pass.

use std::io;
use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::future::try_join;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use leasehold_node::Unavailable;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional, split};

use super::Gateway;
use super::frames::Texts;
use super::paths::decoded;
use crate::access::peer::Peer;
use crate::app::App;
use crate::http;
use crate::upstream::Tunnel;

const EVENTS_IN: &str = "/api/events/in";
const BUFFER_BYTES: usize = 8 << 10;

type Stream = TokioIo<Upgraded>;

/// Passes a WebSocket on.
pub(super) async fn pass(gateway: &Gateway, mut request: Request) -> Response {
    let Gateway { app, upstream, .. } = gateway;
    let peer = request.extensions().get::<Peer>().copied();
    let Some(member) = app.sockets().open(peer.and_then(Peer::counted)) else {
        return http::Error::Unavailable(Unavailable::Overloaded).into_response();
    };
    let has_events = decoded(request.uri().path()) == EVENTS_IN;
    if has_events {
        // Messages that are not compressed can be read.
        request.headers_mut().remove(header::SEC_WEBSOCKET_EXTENSIONS);
    }
    let (response, tunnel) = match upstream.open(request).await {
        Ok(opened) => opened,
        Err(error) => return error.into_response(),
    };
    if let Some(tunnel) = tunnel {
        let ear = has_events.then(|| Ear::new(app, peer.map(Peer::address)));
        let mut stopping = app.sockets().stopping();
        tokio::spawn(async move {
            let _member = member;
            let carried = tokio::select! {
                carried = carry(tunnel, ear) => carried,
                () = stopping.heard() => Ok(()),
            };
            if let Err(error) = carried {
                tracing::debug!(%error, "a WebSocket broke");
            }
        });
    }
    response
}

/// Carries bytes until both sides have ended.
async fn carry(tunnel: Tunnel, ear: Option<Ear>) -> io::Result<()> {
    let both = try_join(tunnel.client, tunnel.upstream).await.map_err(io::Error::other)?;
    let (mut client, mut upstream) = (TokioIo::new(both.0), TokioIo::new(both.1));
    match ear {
        None => copy_bidirectional(&mut client, &mut upstream).await.map(|_| ()),
        Some(ear) => carry_events(client, upstream, ear).await,
    }
}

async fn carry_events(client: Stream, upstream: Stream, mut ear: Ear) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_upstream, mut to_upstream) = split(upstream);
    let up = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = from_client.read(&mut buffer).await?;
            if count == 0 {
                return to_upstream.shutdown().await;
            }
            to_upstream.write_all(&buffer[..count]).await?;
            ear.hear(&buffer[..count]).await;
        }
    };
    let down = async {
        copy(&mut from_upstream, &mut to_client).await?;
        to_client.shutdown().await
    };
    try_join(up, down).await.map(|_| ())
}

/// Hears the events of one client.
struct Ear {
    app: App,
    address: Option<IpAddr>,
    texts: Texts,
    /// The client has shown the password, or there is none. The upstream checks it as well, and
    /// what it refuses is no evidence.
    is_let_in: bool,
}

#[derive(Deserialize)]
struct Auth {
    token: Option<String>,
}

impl Ear {
    fn new(app: &App, address: Option<IpAddr>) -> Self {
        let is_let_in = !app.gate().needs_authentication();
        Self { app: app.clone(), address, texts: Texts::default(), is_let_in }
    }

    async fn hear(&mut self, bytes: &[u8]) {
        self.texts.feed(bytes);
        while let Some(text) = self.texts.next_text() {
            if self.is_let_in {
                self.app.hear(&text, self.address).await;
                continue;
            }
            let token = serde_json::from_str::<Auth>(&text).ok().and_then(|auth| auth.token);
            self.is_let_in = token.is_some_and(|token| self.app.gate().accepts_token(&token));
        }
    }
}
