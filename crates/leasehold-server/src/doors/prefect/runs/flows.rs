//! Flows: `/api/flows`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_prefect::runs::{CreateFlow, Flow as WireFlow, ListFlows};
use leasehold_records::{Flow, FlowSort};

use super::{NOT_THERE, now_micros, read_id, recorder};
use crate::app::App;
use crate::doors::operation::{get, post};
use crate::doors::prefect::convert::runs as convert;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::extract::Valid;
use crate::doors::routes::Routes;
use crate::http::answer::json;

pub(super) const NOT_FOUND: Error = Error::RecordNotFound("Flow not found");

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/flows/", create)
                .named("create_flow", "Record a flow")
                .about("A flow is known by its name: recorded again, it is the same.")
                .body::<CreateFlow>()
                .answers::<WireFlow>(200, "It was recorded before.")
                .answers::<WireFlow>(201, "The new flow.")
                .records(),
        )
        .add(
            post("/api/flows/filter", list)
                .named("list_flows", "List flows")
                .optional_body::<ListFlows>()
                .answers::<Vec<WireFlow>>(200, "A page of flows.")
                .records(),
        )
        .add(
            get("/api/flows/name/{name}", read_named)
                .named("read_flow_named", "Read a flow by its name")
                .answers::<WireFlow>(200, "The flow.")
                .refuses(404, NOT_THERE)
                .records(),
        )
        .add(
            get("/api/flows/{id}", read)
                .named("read_flow", "Read a flow")
                .answers::<WireFlow>(200, "The flow.")
                .refuses(404, NOT_THERE)
                .records(),
        )
}

/// Records a flow, or returns the recorded flow of the same name.
async fn create(State(app): State<App>, Valid(body): Valid<CreateFlow>) -> Result<Response, Error> {
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

async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Error> {
    let id = read_id(&id)?;
    let flow = recorder(&app)?.write(move |records| records.flow(id)).await?.ok_or(NOT_FOUND)?;
    Ok(json(StatusCode::OK, &convert::flow(&flow)))
}

async fn read_named(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Error> {
    let read = recorder(&app)?.write(move |records| records.flow_by_name(&name));
    Ok(json(StatusCode::OK, &convert::flow(&read.await?.ok_or(NOT_FOUND)?)))
}

async fn list(State(app): State<App>, Valid(body): Valid<ListFlows>) -> Result<Response, Error> {
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

/// A page of the flows that were found, in order.
fn page(mut flows: Vec<Flow>, sort: FlowSort, offset: u64, limit: u64) -> Vec<Flow> {
    flows.sort_by(|a, b| sort.compare(a, b));
    let [offset, limit] = [offset, limit].map(|it| usize::try_from(it).unwrap_or(usize::MAX));
    flows.into_iter().skip(offset).take(limit).collect()
}
