//! gRPC calls, one at a time, over one HTTP/2 connection.

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{HeaderMap, Method, Request, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::message::Message;

/// The head of each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

pub(super) struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(super) async fn open(host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host).await.with_context(|| host.to_owned())?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { host: host.to_owned(), sender })
    }

    /// Sends a message, and returns the answer.
    pub(super) async fn call(&mut self, path: &str, message: &Message) -> anyhow::Result<Bytes> {
        let mut body = BytesMut::with_capacity(PREFIX_BYTES + message.as_bytes().len());
        body.put_u8(0);
        body.put_u32(u32::try_from(message.as_bytes().len())?);
        body.put_slice(message.as_bytes());
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", self.host))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Full::new(body.freeze()))?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        // If there is no answer, the trailers come as headers.
        succeeded(path, body.trailers().unwrap_or(&head.headers))?;
        let mut answer = body.to_bytes();
        ensure!(answer.len() >= PREFIX_BYTES, "{path}: the answer is cut off");
        Ok(answer.split_off(PREFIX_BYTES))
    }
}

fn succeeded(path: &str, trailers: &HeaderMap) -> anyhow::Result<()> {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("?");
    ensure!(text("grpc-status") == "0", "{path}: {} {}", text("grpc-status"), text("grpc-message"));
    Ok(())
}
