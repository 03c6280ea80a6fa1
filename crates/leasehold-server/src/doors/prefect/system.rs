//! Requests about the server itself: health, versions, settings, CSRF tokens.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_prefect::system::{CsrfToken, CsrfTokenFor};
use serde_json::{Value, json as value};

use crate::access::agent::PrefectClient;
use crate::access::csrf::CLIENT_CHARS_MAX;
use crate::app::App;
use crate::doors::groups::SERVER;
use crate::doors::operation::get;
use crate::doors::prefect::convert;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::extract::ValidQuery;
use crate::doors::routes::Routes;
use crate::http::answer::json;

/// The version of the API that this server speaks.
const API_VERSION: &str = "0.8.4";
/// The version of the recorded server.
const SERVER_VERSION: [u64; 3] = [3, 9, 1];
/// Newer than any client of the same major version. It is the answer to clients that name none.
const NEWEST_VERSION: [u64; 3] = [SERVER_VERSION[0], 999, 0];

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .tagged(SERVER)
        .add(
            get("/api/health", async || json(StatusCode::OK, &true))
                .named("health", "Whether the server runs")
                .open()
                .answers_with(200, |_| value!({"const": true}), "It does."),
        )
        .add(
            get("/api/ready", async || json(StatusCode::OK, &value!({"message": "OK"})))
                .named("ready", "Whether the server is ready")
                .open()
                .answers_with(200, |_| value!({"const": {"message": "OK"}}), "It is."),
        )
        .add(
            get("/api/version", async || json(StatusCode::OK, &API_VERSION))
                .named("version", "The version of the API")
                .any_version()
                .answers::<String>(200, "Such as `0.8.4`."),
        )
        .add(
            get("/api/admin/version", admin_version)
                .named("server_version", "The version for clients of Prefect")
                .about("At least that of the client, so that it does not warn.")
                .answers::<String>(200, "Such as `3.9.1`: no client of version 3 is newer."),
        )
        .add(
            get("/api/admin/storage", async || json(StatusCode::OK, &no_storage()))
                .named("storage", "Settings of storage, of which there are none")
                .answers_with(200, |_| value!({"const": no_storage()}), "Nothing is set."),
        )
        .add(
            get("/api/hello", async || json(StatusCode::OK, &"👋"))
                .named("hello", "Wave")
                .answers_with(200, |_| value!({"const": "👋"}), "A wave."),
        )
        .add(
            get("/api/csrf-token", csrf_token)
                .named("csrf_token", "Get a token for writes")
                .about("Valid for an hour. A new one makes the client's old one void.")
                .query::<CsrfTokenFor>()
                .answers::<CsrfToken>(200, "The token.")
                .refuses(422, "Invalid; or this server needs no token."),
        )
}

fn no_storage() -> Value {
    value!({"default_result_storage_block_id": null})
}

/// At least the client's own version, if that has our major version. A client that is newer than
/// its server logs a warning, and a client of another major version exits.
///
/// A client from 3.9 on asks once per process, before it opens a WebSocket, and mostly with the
/// plain `User-Agent` of its HTTP library. Its address does not show its version: behind a proxy,
/// clients of several versions share one. So the answer to a request without a version is the
/// newest one.
async fn admin_version(client: PrefectClient) -> Response {
    let version = match client.version {
        // A suffix can make a version newer than its three numbers, as in `3.9.1.post1`.
        Some(version) if version[0] == SERVER_VERSION[0] && client.has_suffix => NEWEST_VERSION,
        Some(version) if version[0] == SERVER_VERSION[0] => version.max(SERVER_VERSION),
        Some(_) => SERVER_VERSION,
        None => NEWEST_VERSION,
    };
    let [major, minor, patch] = version;
    json(StatusCode::OK, &format!("{major}.{minor}.{patch}"))
}

async fn csrf_token(
    State(app): State<App>,
    ValidQuery(asked): ValidQuery<CsrfTokenFor>,
) -> Result<Response, Error> {
    let csrf = app.gate().csrf().ok_or(Error::CsrfDisabled)?;
    if asked.client.chars().count() > CLIENT_CHARS_MAX {
        return Err(Error::ClientNameTooLong(CLIENT_CHARS_MAX));
    }
    let now = app.ledger().clock().now();
    let token = csrf.issue(&asked.client, now);
    Ok(json(StatusCode::OK, &convert::csrf_token(asked.client, token, now)))
}
