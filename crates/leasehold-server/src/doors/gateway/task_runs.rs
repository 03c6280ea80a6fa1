//! Task runs of clients before 3.0. They ask for their tags inside the state that they propose, and
//! the upstream takes the slots. Of tags that are ours we take the slots first. The upstream takes
//! them on the way through as well and gives them back with the run, so it never refuses what we
//! granted.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use leasehold_engine::{Acquire, Acquired, Grant, Hold, Holder, Missing};
use leasehold_node::Undo;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Gateway;
use super::asked::{Asked, Told, still_moving};
use super::slots::ROUTES_MAX;
use super::tap::{self, About};
use crate::access::agent::PrefectClient;
use crate::acquire::{lease_id, retry};
use crate::http;
use crate::http::body::BODY_BYTES_MAX;
use crate::migration::{UnderWay, Way};
use crate::upstream::By;

const FIRST_WITHOUT: [u64; 3] = [3, 0, 0];

/// Whether the upstream takes slots of tags when it answers this request.
pub(super) fn takes_tags(request: &Request) -> bool {
    PrefectClient::of(request.headers()).is_before(FIRST_WITHOUT)
}

/// What is held of a run's tags before its state is passed on.
enum Held {
    /// Slots here, and requests for the others are noted.
    Here(Box<Grant>, Undo, Option<UnderWay>),
    /// Nothing here.
    There(UnderWay),
    /// The run has to wait, or to give up.
    Refused(Response),
}

/// Passes a proposed state on, and takes or gives back what it needs here.
pub(super) async fn pass(gateway: &Gateway, request: Request, about: About, run: Uuid) -> Response {
    let asked = match Asked::read(request, BODY_BYTES_MAX).await {
        Ok(asked) => asked,
        Err(error) => return error.into_response(),
    };
    let gateway = gateway.clone();
    let passing = tokio::spawn(async move {
        match asked.json()["state"]["type"].as_str() {
            Some("RUNNING") => begin(&gateway, &asked, about, run).await,
            Some("CANCELLING") => tap::pass(&gateway, asked.again(), about).await,
            _ => end(&gateway, &asked, about, run).await,
        }
    });
    passing.await.unwrap_or_else(|_| http::Error::Unexpected.into_response())
}

async fn begin(gateway: &Gateway, asked: &Asked, about: About, run: Uuid) -> Response {
    let path = format!("/api/task_runs/{run}");
    let by = By::Client(&asked.parts.headers);
    let read = match gateway.upstream.call(Method::GET, &path, None, by).await {
        Ok(answer) => answer.json(),
        Err(error) => return error.into_response(),
    };
    let tags = read["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut names: Vec<Arc<str>> = tags.map(|tag| format!("tag:{tag}").into()).collect();
    names.sort();
    names.dedup();
    // A run that is RUNNING there has its slots there, and they count here as foreign.
    if names.is_empty() || read["state"]["type"] == "RUNNING" {
        return tap::pass(gateway, asked.again(), about).await;
    }
    match take(gateway, &names, run, &read["state"]).await {
        Held::Refused(response) => response,
        Held::There(under_way) => {
            let response = tap::pass(gateway, asked.again(), about).await;
            drop(under_way);
            response
        }
        Held::Here(grant, undo, under_way) => {
            let covered: Vec<_> = grant.holdings.iter().map(|held| held.limit).collect();
            gateway.migration.run_begins(&covered);
            let told = Told::read(tap::pass(gateway, asked.again(), about).await).await;
            drop(under_way);
            let is_accepted = told.is_success() && told.json()["status"] == "ACCEPT";
            let lease = grant.lease.map(|lease| lease.id).filter(|_| is_accepted);
            if gateway.migration.run_began(lease, run, &covered).await {
                undo.keep();
            }
            told.into_response()
        }
    }
}

/// Takes the tags that are ours.
async fn take(gateway: &Gateway, names: &[Arc<str>], run: Uuid, state: &Value) -> Held {
    for _ in 0..ROUTES_MAX {
        let (here, under_way) = match gateway.migration.route(names).await {
            Err(_) => return Held::Refused(still_moving()),
            Ok(Way::There(under_way)) => return Held::There(under_way),
            Ok(Way::Here(here)) => (here, None),
            Ok(Way::Both { here, under_way, .. }) => (here, Some(under_way)),
        };
        let holder = Holder::new(Holder::TASK_RUN, run.to_string());
        let hold = Hold::Holder { id: lease_id::new(), holder };
        let wants = here.iter().map(|name| (name.clone(), 1));
        // A grant without a limit that has left the ledger meanwhile would lack it.
        let acquire = Acquire { missing: Missing::Refuse, ..Acquire::new(wants, hold) };
        match gateway.migration.ledger().try_acquire(acquire).await {
            Err(error) => return Held::Refused(http::Error::Unavailable(error).into_response()),
            Ok((Acquired::Granted(grant), undo)) => {
                return Held::Here(Box::new(grant), undo, under_way);
            }
            Ok((Acquired::Missing(_) | Acquired::Elsewhere(_), _)) => {
                gateway.migration.until_agreed().await;
            }
            Ok((Acquired::Refused(refusal), _)) => {
                let full = refusal.blockers.first().map_or("", |full| &full.limit.name);
                let seconds = retry::polling_seconds(&refusal, gateway.app.config());
                // Clients read whole seconds, and come back at once after none.
                let details = json!({
                    "type": "wait_details",
                    "delay_seconds": seconds.ceil().max(1.0) as u64,
                    "reason": format!(
                        "Concurrency limit for the {} tag has been reached", bare(full)
                    ),
                });
                return Held::Refused(transition("WAIT", state, &details));
            }
            Ok((Acquired::TooManySlots(limit), _)) => {
                let reason = format!(
                    "The concurrency limit on tag \"{}\" is 0 and will deadlock if the task tries \
                     to run again.",
                    bare(&limit.name)
                );
                let details = json!({"type": "abort_details", "reason": reason});
                return Held::Refused(transition("ABORT", state, &details));
            }
            Ok(_) => return Held::Refused(http::Error::Unexpected.into_response()),
        }
    }
    Held::Refused(still_moving())
}

/// The run leaves its tags: the upstream gives its slots back there, and we give them back here.
async fn end(gateway: &Gateway, asked: &Asked, about: About, run: Uuid) -> Response {
    let Some(ending) = gateway.migration.run_ends(run) else {
        return tap::pass(gateway, asked.again(), about).await;
    };
    let told = Told::read(tap::pass(gateway, asked.again(), about).await).await;
    let is_accepted = told.is_success() && told.json()["status"] == "ACCEPT";
    gateway.migration.run_ended(ending, is_accepted).await;
    told.into_response()
}

fn transition(status: &str, state: &Value, details: &Value) -> Response {
    let body = json!({"state": state, "status": status, "details": details});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::OK;
    let json = http::answer::APPLICATION_JSON;
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, json);
    response
}

fn bare(name: &str) -> &str {
    name.strip_prefix("tag:").unwrap_or(name)
}
