//! Lists and reads of limits. The upstream has a row for every limit, with the same id, so its list
//! has the right order and pages; the rows of our limits show what is taken here.

use axum::response::{IntoResponse, Response};
use leasehold_engine::{LimitId, LimitRef, LimitView, Scope};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Gateway;
use super::asked::{Asked, Told};

/// A list of limits, or of those of tags.
pub(super) async fn list(gateway: &Gateway, tags: bool, asked: Asked) -> Response {
    let told = match gateway.upstream.send(asked.again()).await {
        Ok(response) => Told::read(response).await,
        // Ours are better than none.
        Err(_) => return gateway.answer_ourselves(asked.again()).await,
    };
    let mut rows = told.json();
    let Some(all) = rows.as_array_mut().filter(|_| told.is_success()) else {
        return told.into_response();
    };
    let mut has_changed = false;
    for row in all {
        has_changed |= show(gateway, tags, row).await;
    }
    if has_changed { told.with_body(&rows) } else { told.into_response() }
}

/// One limit.
pub(super) async fn read(gateway: &Gateway, limit: &str, tags: bool, asked: Asked) -> Response {
    let told = match gateway.upstream.send(asked.again()).await {
        Ok(response) => Told::read(response).await,
        Err(error) => {
            let id = limit.parse::<Uuid>().ok().map(|id| LimitId(id.as_u128()));
            return match gateway.migration.find(id, limit) {
                Some((_, true)) => gateway.answer_ourselves(asked.again()).await,
                _ => error.into_response(),
            };
        }
    };
    let mut row = told.json();
    if told.is_success() && show(gateway, tags, &mut row).await {
        return told.with_body(&row);
    }
    told.into_response()
}

/// What holds a limit of ours, or waits for it. The upstream has no such list.
pub(super) async fn holders(gateway: &Gateway, limit: &str, asked: Asked) -> Response {
    let id = limit.parse::<Uuid>().ok().map(|id| LimitId(id.as_u128()));
    match gateway.migration.find(id, limit) {
        Some(_) => gateway.answer_ourselves(asked.again()).await,
        None => gateway.upstream.pass(asked.again()).await,
    }
}

/// Shows in a row of the upstream what is taken here, if the limit is ours.
async fn show(gateway: &Gateway, tags: bool, row: &mut Value) -> bool {
    let name = if tags {
        row["tag"].as_str().map(|tag| format!("tag:{tag}"))
    } else {
        row["name"].as_str().map(str::to_owned)
    };
    let Some(name) = name.filter(|name| gateway.migration.is_ours(name)) else { return false };
    // Only among tags a view has its holders.
    let scope = if tags { Scope::Tags } else { Scope::All };
    let view = gateway.migration.ledger().limit(LimitRef::Name(name.into()), scope).await;
    let Ok(Some(view)) = view else { return false };
    if tags {
        // The upstream's own are those that took their slot before the limit moved.
        let mut holders = row["active_slots"].as_array().cloned().unwrap_or_default();
        holders.extend(task_runs(&view).filter(|run| !holders.contains(run)).collect::<Vec<_>>());
        row["active_slots"] = holders.into();
        row["concurrency_limit"] = view.limit.slots.into();
    } else {
        row["active_slots"] = view.taken.into();
        row["limit"] = view.limit.slots.into();
        row["active"] = view.limit.active.into();
    }
    true
}

fn task_runs(view: &LimitView) -> impl Iterator<Item = Value> {
    let runs = view.holders.iter().filter(|holder| &*holder.kind == "task_run");
    runs.filter_map(|run| Some(json!(run.id.parse::<Uuid>().ok()?)))
}
