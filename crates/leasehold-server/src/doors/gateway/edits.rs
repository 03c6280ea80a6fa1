//! Edits of limits. What is ours changes on both sides, the upstream first: its row keeps the true
//! limit, so that it never refuses what it would grant on its own. Its count is never written.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leasehold_engine::LimitId;
use uuid::Uuid;

use super::Gateway;
use super::asked::Asked;

/// The limit that a path names, if it is ours. On its way back it is the upstream's.
fn ours(gateway: &Gateway, limit: &str) -> Option<std::sync::Arc<str>> {
    let id = limit.parse::<Uuid>().ok().map(|id| LimitId(id.as_u128()));
    gateway.migration.find(id, limit).filter(|(_, is_ours)| *is_ours).map(|(name, _)| name)
}

/// Changes a limit.
pub(super) async fn change(gateway: &Gateway, limit: &str, asked: Asked) -> Response {
    let editing = gateway.migration.edit().await;
    let Some(name) = ours(gateway, limit) else {
        drop(editing);
        return gateway.upstream.pass(asked.again()).await;
    };
    let mut body = asked.json();
    let Some(fields) = body.as_object_mut() else {
        return gateway.answer_ourselves(asked.again()).await;
    };
    fields.remove("active_slots");
    // A reset alone is about what is held here.
    if !fields.is_empty() {
        let told = gateway.theirs(asked.with_body(&body)).await;
        if !told.is_success() {
            return told.into_response();
        }
    }
    let answer = gateway.answer_ourselves(asked.again()).await;
    if let (Some(to), true) = (body["name"].as_str(), answer.status().is_success()) {
        gateway.migration.renamed(&name, to);
    }
    answer
}

/// Creates a limit: upstream, and known here before a request can name it.
pub(super) async fn create(gateway: &Gateway, asked: Asked) -> Response {
    let told = gateway.theirs(asked.again()).await;
    gateway.migration.count_now().await;
    told.into_response()
}

/// Deletes a limit.
pub(super) async fn delete(gateway: &Gateway, limit: &str, tags: bool, asked: Asked) -> Response {
    let editing = gateway.migration.edit().await;
    let Some(name) = ours(gateway, limit) else {
        drop(editing);
        return gateway.upstream.pass(asked.again()).await;
    };
    let told = gateway.theirs(asked.again()).await;
    if !told.is_success() && told.status() != StatusCode::NOT_FOUND {
        return told.into_response();
    }
    let is_tag = name.starts_with("tag:");
    let answer = gateway.answer_ourselves(asked.again()).await;
    if answer.status().is_success() {
        gateway.migration.deleted(&name);
    } else if tags && !is_tag {
        // The upstream deletes a global limit by this path as well; ours does not.
        return told.into_response();
    }
    answer
}

/// Sets how many slots a tag has: creates its limit upstream, or changes it on both sides.
pub(super) async fn put_tag(gateway: &Gateway, asked: Asked) -> Response {
    let _editing = gateway.migration.edit().await;
    let told = gateway.theirs(asked.again()).await;
    gateway.migration.count_now().await;
    let tag = asked.json()["tag"].as_str().map(|tag| format!("tag:{tag}"));
    let is_ours = tag.is_some_and(|name| gateway.migration.is_ours(&name));
    if is_ours && told.is_success() {
        return gateway.answer_ourselves(asked.again()).await;
    }
    told.into_response()
}

/// Resets the holders of a tag: those here. What the upstream counts is not revoked by a reset; its
/// own reset would empty its list of holders and leave the slots taken.
pub(super) async fn reset_tag(gateway: &Gateway, limit: &str, asked: Asked) -> Response {
    if ours(gateway, limit).is_some() {
        return gateway.answer_ourselves(asked.again()).await;
    }
    gateway.upstream.pass(asked.again()).await
}
