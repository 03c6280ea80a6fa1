//! The clients' logs: `/api/logs`. The server accepts them, so that clients do not complain, and
//! drops them.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_prefect::Invalid;
use serde::de::IgnoredAny;
use serde_json::json as value;

use super::recorder;
use crate::app::App;
use crate::doors::operation::post;
use crate::doors::prefect::error::Error;
use crate::doors::routes::Routes;
use crate::http::answer::json;
use crate::http::body::Raw;

/// Clients send batches of up to 4 MB.
const LOGS_BYTES_MAX: usize = 8 << 20;

pub(super) fn add(routes: Routes) -> Routes {
    routes.add(
        post("/api/logs/", create)
            .named("send_logs", "Send logs")
            .about("They are accepted, and not kept.")
            .free_body(|_| value!({"type": "array", "example": [{"message": "half done"}]}))
            .answers_with(201, |_| value!({"const": null}), "Accepted."),
    )
}

async fn create(State(app): State<App>, request: Request) -> Result<Response, Error> {
    recorder(&app)?;
    let raw = Raw::read(request, LOGS_BYTES_MAX).await?;
    match serde_json::from_slice::<Vec<IgnoredAny>>(raw.bytes()) {
        Ok(_) => Ok(json(StatusCode::CREATED, &())),
        Err(_) => Err(Invalid::Detail("Logs must be a list.".to_owned()).into()),
    }
}
