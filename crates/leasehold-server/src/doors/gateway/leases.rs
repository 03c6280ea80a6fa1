//! Renewals and releases: of leases that we made here, of all others at the upstream.

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use leasehold_engine::{Gone, LeaseId, Span};
use uuid::Uuid;

use super::Gateway;
use super::asked::Asked;
use crate::acquire::lease_id;
use crate::http;
use crate::http::answer::with_header;
use crate::migration::Partner;
use crate::upstream::By;

const DURATION_SECONDS: f64 = 300.0;

/// Renews a lease.
pub(super) async fn renew(gateway: &Gateway, lease: &str, asked: Asked) -> Response {
    let id = lease.parse::<Uuid>().ok();
    match id {
        Some(id) if is_ours(gateway, id).await => renew_ours(gateway, id, asked).await,
        _ => {
            let told = gateway.theirs(asked.again()).await;
            let id = id.map(|id| LeaseId(id.as_u128()));
            match (id, told.status()) {
                (Some(id), status) if status.is_success() => {
                    let seconds = asked.json()["lease_duration"].as_f64();
                    let length = Span::from_seconds_f64(seconds.unwrap_or(DURATION_SECONDS));
                    gateway.migration.saw_renewal(id, length);
                }
                (Some(id), StatusCode::GONE) => gateway.migration.saw_end(id),
                _ => {}
            }
            told.into_response()
        }
    }
}

/// Renews a lease of ours, and the upstream's lease that it needs.
async fn renew_ours(gateway: &Gateway, id: Uuid, asked: Asked) -> Response {
    let answer = gateway.answer_ourselves(asked.again()).await;
    if !answer.status().is_success() {
        return answer;
    }
    for partner in gateway.migration.partners(LeaseId(id.as_u128())) {
        let Partner::Lease(lease) = partner else { continue };
        let lease = Uuid::from_u128(lease.0);
        let path = format!("/api/v2/concurrency_limits/leases/{lease}/renew");
        let body = asked.json();
        let body = if body.is_object() { body } else { serde_json::json!({}) };
        let by = By::Client(&asked.parts.headers);
        match gateway.upstream.call(Method::POST, &path, Some(&body), by).await {
            Ok(answer) if answer.status.is_success() => {}
            Ok(refused) => {
                let json = refused.json();
                let mut response = http::answer::json(refused.status, &json);
                for (name, value) in &refused.headers {
                    if name == axum::http::header::RETRY_AFTER {
                        response = with_header(response, name.clone(), value.clone());
                    }
                }
                return response;
            }
            Err(error) => return error.into_response(),
        }
    }
    answer
}

/// Releases a lease.
pub(super) async fn release(gateway: &Gateway, asked: Asked) -> Response {
    let id = asked.json()["lease_id"].as_str().and_then(|id| id.parse::<Uuid>().ok());
    match id {
        Some(id) if is_ours(gateway, id).await => gateway.answer_ourselves(asked.again()).await,
        _ => {
            let told = gateway.theirs(asked.again()).await;
            if let Some(id) = id.filter(|_| told.is_success()) {
                gateway.migration.saw_end(LeaseId(id.as_u128()));
            }
            told.into_response()
        }
    }
}

/// Whether we made a lease: it lives, its end is remembered, or its id says so.
async fn is_ours(gateway: &Gateway, id: Uuid) -> bool {
    if lease_id::is_ours(id) {
        return true;
    }
    let lease = LeaseId(id.as_u128());
    let ledger = gateway.migration.ledger();
    match ledger.lease(lease).await {
        Ok(Ok(_)) => true,
        Ok(Err(gone)) => {
            let now = ledger.clock().now();
            gateway.app.released().explain(lease, gone, now) != Gone(None)
        }
        // It may be ours: our answer says to ask again.
        Err(_) => true,
    }
}
