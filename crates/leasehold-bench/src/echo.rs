//! The bare HTTP server: how fast axum is on this machine without any work to do.

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::post;
use tokio::net::TcpListener;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    port: u16,
}

/// Serves until it is killed.
pub(crate) async fn serve(args: &Args) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    let router = Router::new().route("/{*path}", post(echo).get(version));
    axum::serve(listener, router).await?;
    Ok(())
}

/// What a gateway asks at its start.
async fn version() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], r#""3.9.1""#)
}

async fn echo(body: Bytes) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], body)
}
