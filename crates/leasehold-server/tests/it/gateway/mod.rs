//! A server in front of another one. Where the upstream's answers matter, it is a server that
//! speaks the recorded contract; where its bytes matter, it is a bare one.

mod credentials;
mod evidence;
mod moving;
mod outage;
mod passing;

use std::net::SocketAddr;

use axum::Router;
use leasehold_server::Config;
use tokio::net::TcpListener;

use crate::fixture::TestApp;

/// A server in front of the one at this address.
fn before(upstream: SocketAddr, change: impl FnOnce(&mut Config)) -> TestApp {
    let init = TestApp::init().with_records().with_config(|config| {
        config.upstream = Some(format!("http://{upstream}/api").parse().unwrap());
        change(config);
    });
    init.start()
}

/// A server that speaks the recorded contract, and one in front of it.
async fn pair() -> (TestApp, TestApp) {
    let upstream = TestApp::init().with_records().start();
    let gateway = before(upstream.listen().await, |_| {});
    (upstream, gateway)
}

/// Serves a bare upstream until the test ends.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// An address at which nothing listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
