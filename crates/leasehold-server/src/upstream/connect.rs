//! Connections to the upstream, encrypted or not. A connection has to be there soon: a client that
//! waits for it holds no slot, but its own time runs.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Uri;
use futures_util::future::{BoxFuture, FutureExt};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::{BoxError, Service};

use crate::config::UpstreamUrl;

/// How long a connection may take, with its encryption.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// After this time without bytes the system probes a connection: a host that vanishes closes none.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Connects to the upstream.
#[derive(Clone)]
pub(super) struct Connect(HttpsConnector<HttpConnector>);

/// The certificates for an encrypted connection could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoTls {
    /// This machine has no certificates of authorities.
    #[error(
        "the upstream needs TLS, and this machine has no certificates of authorities: {0}; install \
         ca-certificates, or name a file of them in SSL_CERT_FILE"
    )]
    NoRoots(io::Error),
    /// The library refuses its own provider.
    #[error("TLS could not be prepared")]
    Provider(#[from] rustls::Error),
}

impl Connect {
    pub(super) fn new(url: &UpstreamUrl) -> Result<Self, NoTls> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let provider = ring::default_provider();
        let builder = HttpsConnectorBuilder::new();
        let builder = if url.is_encrypted() {
            builder.with_provider_and_native_roots(provider).map_err(NoTls::NoRoots)?
        } else {
            // It is never used, so it needs no certificates.
            let unused = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
            builder.with_tls_config(unused)
        };
        Ok(Self(builder.https_or_http().enable_http1().wrap_connector(tcp)))
    }
}

impl Service<Uri> for Connect {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.0.call(uri));
        let late = || format!("no connection within {} s", CONNECT_TIMEOUT.as_secs());
        connecting.map(move |ended| ended.unwrap_or_else(|_| Err(late().into()))).boxed()
    }
}
