//! Flows: `/api/flows`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use leasehold_api::runs::{CreateFlow, ListFlows};
use leasehold_records::{Flow, FlowSort};

use super::{now_micros, read_id, recorder};
use crate::app::App;
use crate::doors::prefect::convert::runs as convert;
use crate::doors::{Routes, otherwise};
use crate::http::error::{ApiError, json};
use crate::http::extract::Valid;

pub(super) const NOT_FOUND: ApiError = ApiError::RecordNotFound("Flow not found");

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add("/api/flows/", otherwise("POST", post(create)))
        .add("/api/flows/filter", otherwise("POST", post(list)))
        .add("/api/flows/name/{name}", otherwise("GET", get(read_named)))
        .add("/api/flows/{id}", otherwise("GET", get(read)))
}

/// A flow is known by its name: asked for again, it is the same.
async fn create(
    State(app): State<App>,
    Valid(body): Valid<CreateFlow>,
) -> Result<Response, ApiError> {
    let now = now_micros(&app);
    let (flow, is_new) = recorder(&app)?
        .write(move |records| {
            if let Some(flow) = records.flow_by_name(&body.name)? {
                return Ok((flow, false));
            }
            let flow = convert::new_flow(body, now);
            records.add_flow(&flow)?;
            Ok((flow, true))
        })
        .await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &convert::flow(&flow)))
}

async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = read_id(&id)?;
    let flow = recorder(&app)?.write(move |records| records.flow(id)).await?.ok_or(NOT_FOUND)?;
    Ok(json(StatusCode::OK, &convert::flow(&flow)))
}

async fn read_named(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let read = recorder(&app)?.write(move |records| records.flow_by_name(&name));
    Ok(json(StatusCode::OK, &convert::flow(&read.await?.ok_or(NOT_FOUND)?)))
}

async fn list(State(app): State<App>, Valid(body): Valid<ListFlows>) -> Result<Response, ApiError> {
    let wanted = super::filter::flows(body.flows.as_ref())?;
    let sort = convert::flow_sort(body.sort);
    let (offset, limit) = (body.offset, body.limit);
    let flows = recorder(&app)?
        .write(move |records| match wanted {
            None => records.flows(sort, offset, limit),
            Some(wanted) => Ok(page(wanted.find(records)?, sort, offset, limit)),
        })
        .await?;
    let flows: Vec<_> = flows.iter().map(convert::flow).collect();
    Ok(json(StatusCode::OK, &flows))
}

/// A part of flows that were found by what they are.
fn page(mut flows: Vec<Flow>, sort: FlowSort, offset: u64, limit: u64) -> Vec<Flow> {
    flows.sort_by(|a, b| sort.compare(a, b));
    let [offset, limit] = [offset, limit].map(|it| usize::try_from(it).unwrap_or(usize::MAX));
    flows.into_iter().skip(offset).take(limit).collect()
}
