//! Requests for slots, and slots that are given back by name.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leasehold_engine::{GiveBack, Holder, LeaseFilter, LeaseId, Page, Span};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Gateway;
use super::asked::{Asked, Told, still_moving};
use crate::acquire::{lease_id, unknown};
use crate::http;
use crate::http::error::Moved;
use crate::http::grant::Carried;
use crate::migration::{Granted, Paired, Partner, UnderWay, Way};

/// How often a request is routed whose limits move while it is answered.
pub(super) const ROUTES_MAX: usize = 300;

/// How slots are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// With a lease.
    Lease,
    /// Without one.
    Plain,
    /// By tags, for a task run.
    Tags,
}

/// Takes slots: here, at the upstream, or first here and then the rest there.
pub(super) async fn acquire(gateway: &Gateway, kind: Kind, asked: Asked) -> Response {
    let Some(names) = asked.names(kind == Kind::Tags) else {
        return gateway.upstream.pass(asked.again()).await;
    };
    for _ in 0..ROUTES_MAX {
        match gateway.migration.route(&names).await {
            Err(_) => return still_moving(),
            Ok(Way::Here(here)) => {
                let request = match here.len() == names.len() {
                    true => asked.again(),
                    // The other names have no limit on either side.
                    false => asked.naming(&here, kind == Kind::Tags),
                };
                let answer = gateway.answer_ourselves(unknown::refused(request)).await;
                if !has_moved(&answer) {
                    return answer;
                }
                gateway.migration.until_agreed().await;
            }
            Ok(Way::There(under_way)) => {
                let passing = there(gateway.clone(), kind, asked.again(), asked, under_way);
                return unless_dropped(passing).await;
            }
            Ok(Way::Both { here, there, under_way }) => {
                // Ours may have to wait first, and a hand-over of theirs need not wait with them.
                drop(under_way);
                let taking = both(gateway.clone(), kind, asked.clone(), here, there);
                if let Some(answer) = unless_dropped(taking).await {
                    return answer;
                }
                gateway.migration.until_agreed().await;
            }
        }
    }
    still_moving()
}

/// Whether a limit has left the ledger since the request was routed.
fn has_moved(answer: &Response) -> bool {
    answer.extensions().get::<Moved>().is_some()
}

/// Goes on when the client hangs up: what the upstream grants has to be known.
async fn unless_dropped<T: Default + Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    tokio::spawn(work).await.unwrap_or_default()
}

/// The upstream's answer to a request for slots of its limits.
async fn there(
    gateway: Gateway,
    kind: Kind,
    request: axum::extract::Request,
    asked: Asked,
    under_way: UnderWay,
) -> Response {
    let told = gateway.theirs(request).await;
    drop(under_way);
    if told.is_success() {
        saw(&gateway, kind, &asked.json(), &told.json());
    }
    told.into_response()
}

/// Notes what the upstream has granted.
fn saw(gateway: &Gateway, kind: Kind, asked: &Value, told: &Value) {
    let id = |value: &Value| value.as_str().and_then(|id| id.parse::<Uuid>().ok());
    let (lease, limits, length) = match kind {
        Kind::Plain => return gateway.migration.saw_plain(&names_of(told, false)),
        Kind::Lease => {
            let length = asked["lease_duration"].as_f64().unwrap_or(300.0);
            (id(&told["lease_id"]), &told["limits"], Some(Span::from_seconds_f64(length)))
        }
        Kind::Tags => (id(&asked["task_run_id"]), told, None),
    };
    let limits: Vec<Arc<str>> = names_of(limits, kind == Kind::Tags);
    let Some(lease) = lease.filter(|_| !limits.is_empty()) else { return };
    let holder = match kind {
        Kind::Tags => Some(Holder::new(Holder::TASK_RUN, lease.to_string())),
        _ => asked["holder"]["id"]
            .as_str()
            .map(|id| Holder::new(asked["holder"]["type"].as_str().unwrap_or_default(), id)),
    };
    let slots = if kind == Kind::Tags { 1 } else { asked["slots"].as_u64().unwrap_or(1) };
    let lease = LeaseId(lease.as_u128());
    gateway.migration.saw_grant(Granted { lease, limits, slots, holder, length });
}

fn names_of(limits: &Value, are_tags: bool) -> Vec<Arc<str>> {
    let names = limits.as_array().into_iter().flatten().filter_map(|limit| limit["name"].as_str());
    let full = |name: &str| {
        if are_tags { format!("tag:{name}").into() } else { name.into() }
    };
    names.map(full).collect()
}

/// Takes slots of our limits, and then of the upstream's. `None`: a limit has moved meanwhile.
async fn both(
    gateway: Gateway,
    kind: Kind,
    asked: Asked,
    here: Vec<Arc<str>>,
    there: Vec<Arc<str>>,
) -> Option<Response> {
    let are_tags = kind == Kind::Tags;
    let request = unknown::refused(asked.naming(&here, are_tags));
    let mut mine = gateway.answer_ourselves(request).await;
    if has_moved(&mine) {
        return None;
    }
    let Some(grant) = Carried::claim(&mut mine) else { return Some(mine) };
    let under_way = match gateway.migration.route(&there).await {
        Ok(Way::There(under_way)) => under_way,
        Ok(_) => return None,
        Err(_) => return Some(still_moving()),
    };
    let mine = Told::read(mine).await.json();
    let told = gateway.theirs(asked.naming(&there, are_tags)).await;
    drop(under_way);
    if !told.is_success() {
        grant.give_back();
        return Some(told.into_response());
    }
    let theirs = told.json();
    saw(&gateway, kind, &asked.json(), &theirs);
    let answer = match kind {
        Kind::Lease => pair(&gateway, mine, &theirs).await,
        Kind::Plain | Kind::Tags => Some(merged(&mine, &theirs)),
    };
    Some(match answer {
        Some(answer) => grant.answer(StatusCode::OK, answer.to_string().into()),
        // Our lease has ended before its partner was known, and the partner with it.
        None => http::Error::Unavailable(leasehold_node::Unavailable::Overloaded).into_response(),
    })
}

/// Lets the upstream's lease live and end with ours. Returns the answer for both.
async fn pair(gateway: &Gateway, mut mine: Value, theirs: &Value) -> Option<Value> {
    let id = |value: &Value| value["lease_id"].as_str()?.parse::<Uuid>().ok();
    let (ours, partner) = (id(&mine)?, id(theirs)?);
    mine["limits"] = merged(&mine["limits"], &theirs["limits"]);
    if lease_id::is_empty(ours) {
        // None of our limits is active, so the upstream's lease is all there is.
        mine["lease_id"] = theirs["lease_id"].clone();
        return Some(mine);
    }
    let partner = Paired { partner: Partner::Lease(LeaseId(partner.as_u128())), slots: 1 };
    match gateway.migration.pair(LeaseId(ours.as_u128()), vec![partner]).await {
        Ok(true) => Some(mine),
        // It is given up already.
        Ok(false) => None,
        Err(()) => {
            gateway.migration.give_up(partner);
            None
        }
    }
}

/// Limits of both sides, ordered by name as either side orders them.
fn merged(mine: &Value, theirs: &Value) -> Value {
    let rows = |rows: &Value| rows.as_array().cloned().unwrap_or_default();
    let mut all = rows(mine);
    let known: Vec<_> = all.iter().map(|row| row["name"].clone()).collect();
    all.extend(rows(theirs).into_iter().filter(|row| !known.contains(&row["name"])));
    all.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    all.into()
}

/// Gives slots back that were taken without a lease. Of a limit of ours, those go back first that
/// are taken here, and the rest upstream, where they were taken before the limit moved.
pub(super) async fn give_back(gateway: &Gateway, asked: Asked) -> Response {
    let (names, body) = (asked.names(false), asked.json());
    let slots = body["slots"].as_u64().filter(|slots| *slots > 0);
    let (Some(names), Some(slots)) = (names, slots) else {
        return gateway.upstream.pass(asked.again()).await;
    };
    let (here, mut there, under_way) = match gateway.migration.route(&names).await {
        Err(_) => return still_moving(),
        Ok(Way::There(under_way)) => (Vec::new(), names, Some(under_way)),
        Ok(Way::Both { here, there, under_way }) => (here, there, Some(under_way)),
        Ok(Way::Here(_)) => (names, Vec::new(), None),
    };
    if here.is_empty() {
        let told = gateway.theirs(asked.again()).await;
        drop(under_way);
        return told.into_response();
    }
    let _turn = gateway.migration.give_back_in_turn().await;
    let occupancy = body["occupancy_seconds"].as_f64().map(Span::from_seconds_f64);
    let mut limits = Vec::new();
    for name in here {
        let Ok(unleased) = gateway.migration.unleased(&name).await else {
            return unavailable();
        };
        let mine = slots.min(unleased);
        let names = [name.clone()].into_iter().collect();
        // None of them, too: the answer names the limit.
        let give_back = GiveBack { names, slots: mine, occupancy: occupancy.filter(|_| mine > 0) };
        let Ok(given_back) = gateway.migration.ledger().give_back(give_back).await else {
            return unavailable();
        };
        limits.extend(given_back.iter().map(|limit| {
            let id = Uuid::from_u128(limit.id.0);
            json!({"id": id, "name": &*limit.name, "limit": limit.slots})
        }));
        if mine == slots {
            continue;
        }
        if mine == 0 {
            there.push(name);
            continue;
        }
        let rest = json!({"names": [&*name], "slots": slots - mine});
        let told = gateway.theirs(asked.with_body(&rest)).await;
        if !told.is_success() {
            return told.into_response();
        }
        gateway.migration.count_soon();
    }
    if there.is_empty() {
        return http::answer::json(StatusCode::OK, &sorted(limits));
    }
    let told = gateway.theirs(asked.naming(&there, false)).await;
    gateway.migration.count_soon();
    if !told.is_success() {
        return told.into_response();
    }
    let known: Vec<_> = limits.iter().map(|limit| limit["name"].clone()).collect();
    let theirs = told.json();
    let theirs = theirs.as_array().into_iter().flatten();
    limits.extend(theirs.filter(|limit| !known.contains(&limit["name"])).cloned());
    told.with_body(&sorted(limits))
}

fn sorted(mut limits: Vec<Value>) -> Value {
    limits.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    limits.into()
}

/// Gives the tags of a task run back: here what it holds here, and the rest upstream.
pub(super) async fn give_tags_back(gateway: &Gateway, asked: Asked) -> Response {
    let run = asked.json()["task_run_id"].as_str().and_then(|id| id.parse::<Uuid>().ok());
    let (Some(names), Some(run)) = (asked.names(true), run) else {
        return gateway.upstream.pass(asked.again()).await;
    };
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for name in names {
        let filter = LeaseFilter {
            limit: Some(name.clone()),
            holder_kind: Some(Holder::TASK_RUN.into()),
            holder_id: Some(run.to_string().into()),
        };
        let page = Page { offset: 0, limit: 1 };
        match gateway.migration.ledger().find_leases(filter, page).await {
            Ok(Some(leases)) if !leases.is_empty() => here.push(name),
            Ok(_) => there.push(name),
            Err(_) => return unavailable(),
        }
    }
    if here.is_empty() {
        let told = gateway.theirs(asked.again()).await;
        if told.is_success() {
            gateway.migration.saw_tags_given_back(LeaseId(run.as_u128()), &there);
        }
        return told.into_response();
    }
    let mine = gateway.answer_ourselves(asked.naming(&here, true)).await;
    // An answer of the upstream may have been lost before the limit moved: then the run holds a
    // slot there as well.
    there.extend(here.iter().filter(|name| gateway.migration.has_foreign(name)).cloned());
    if there.is_empty() || !mine.status().is_success() {
        return mine;
    }
    let told = gateway.theirs(asked.naming(&there, true)).await;
    if !told.is_success() {
        return told.into_response();
    }
    gateway.migration.saw_tags_given_back(LeaseId(run.as_u128()), &there);
    let both = merged(&Told::read(mine).await.json(), &told.json());
    told.with_body(&both)
}

fn unavailable() -> Response {
    http::Error::Unavailable(leasehold_node::Unavailable::Overloaded).into_response()
}
