//! The address of this server, as its client wrote it.

use axum::http::{HeaderMap, Uri};

/// `http://host:port`, or nothing if the client named no host.
pub(crate) fn origin(headers: &HeaderMap, uri: &Uri) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    match text("host").or(uri.host()) {
        Some(host) => format!("{scheme}://{host}"),
        // Without a host, a path alone refers to the server that the client asked.
        None => String::new(),
    }
}
