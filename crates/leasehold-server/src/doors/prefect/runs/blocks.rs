//! The one block that clients before version 3 cannot retry a flow without: it says in which
//! directory of theirs the results are. Other blocks are not served; they may hold secrets, and
//! this is no place for those.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, patch, post};
use leasehold_api::{Invalid, Timestamp};
use leasehold_records::{RecordsError, Transaction};
use serde_json::{Map, Value, json as value};

use super::{now_micros, read_id, recorder};
use crate::app::App;
use crate::doors::prefect::unserved::Unserved;
use crate::doors::{Routes, otherwise};
use crate::http::error::{ApiError, json};
use crate::http::extract::Raw;
use crate::ids;

/// The kind of block that is served.
const SLUG: &str = "local-file-system";
const TYPE_KEY: &str = "type";
const NOT_FOUND: ApiError = ApiError::RecordNotFound("Block not found");

type Fields = Map<String, Value>;

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add("/api/block_types/", otherwise("POST", post(create_type)))
        .add("/api/block_types/slug/{slug}", otherwise("GET", get(read_type)))
        .add("/api/block_types/{id}", otherwise("PATCH", patch(update_type)))
        .add("/api/block_schemas/", otherwise("POST", post(create_schema)))
        .add("/api/block_schemas/checksum/{checksum}", otherwise("GET", get(read_schema)))
        .add("/api/block_documents/", otherwise("POST", post(create_document)))
        .add("/api/block_documents/{id}", otherwise("GET", get(read_document)))
}

async fn create_type(
    State(app): State<App>,
    unserved: Unserved,
    raw: Raw,
) -> Result<Response, ApiError> {
    let body = fields(&raw)?;
    if body.get("slug").and_then(Value::as_str) != Some(SLUG) {
        return Err(unserved.refuse(&app, ApiError::PathNotFound));
    }
    create(&app, body, TYPE_KEY.to_owned(), |_, _| Ok(true)).await
}

async fn read_type(
    State(app): State<App>,
    unserved: Unserved,
    Path(slug): Path<String>,
) -> Result<Response, ApiError> {
    if slug != SLUG {
        return Err(unserved.refuse(&app, NOT_FOUND));
    }
    let known = recorder(&app)?.write(move |records| records.block_by_key(TYPE_KEY)).await?;
    let known = known.ok_or(NOT_FOUND)?;
    Ok(json(StatusCode::OK, &known))
}

/// Its looks change from version to version. They are nothing to us.
async fn update_type(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = read_id(&id)?;
    let known = recorder(&app)?.write(move |records| records.block(id)).await?;
    known.map(|_| StatusCode::NO_CONTENT).ok_or(NOT_FOUND)
}

async fn create_schema(State(app): State<App>, raw: Raw) -> Result<Response, ApiError> {
    let mut body = fields(&raw)?;
    let key = format!("schema/{}", Value::from(body.clone()));
    // Clients compute it by rules of their own, and ask by it before they create.
    body.insert("checksum".to_owned(), "unknown".into());
    create(&app, body, key, |records, body| embed(records, body, &["block_type"])).await
}

/// Never found: a client then creates it, and is answered with the one there is.
async fn read_schema(State(app): State<App>, Path(_): Path<String>) -> Result<Response, ApiError> {
    recorder(&app)?;
    Err(NOT_FOUND)
}

async fn create_document(
    State(app): State<App>,
    unserved: Unserved,
    raw: Raw,
) -> Result<Response, ApiError> {
    let mut body = fields(&raw)?;
    if body.get("is_anonymous") != Some(&Value::Bool(true)) {
        return Err(unserved.refuse(&app, ApiError::PathNotFound));
    }
    let key = format!("document/{}", Value::from(body.clone()));
    body.insert("block_document_references".to_owned(), value!({}));
    create(&app, body, key, |records, body| embed(records, body, &["block_type", "block_schema"]))
        .await
}

async fn read_document(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = read_id(&id)?;
    let known = recorder(&app)?.write(move |records| records.block(id)).await?;
    Ok(json(StatusCode::OK, &known.ok_or(NOT_FOUND)?))
}

/// Created once, and answered again when it is asked for again. `complete` says whether what it
/// refers to is there.
async fn create(
    app: &App,
    mut body: Fields,
    key: String,
    complete: impl FnOnce(&Transaction<'_>, &mut Fields) -> Result<bool, RecordsError> + Send + 'static,
) -> Result<Response, ApiError> {
    let now_micros = now_micros(app);
    let now = Timestamp(now_micros).to_string();
    let created = recorder(app)?.write(move |records| {
        if let Some(known) = records.block_by_key(&key)? {
            return Ok(Some(known));
        }
        if !complete(records, &mut body)? {
            return Ok(None);
        }
        let id = ids::at(now_micros);
        body.insert("id".to_owned(), id.to_string().into());
        body.insert("created".to_owned(), now.clone().into());
        body.insert("updated".to_owned(), now.into());
        let block = Value::from(body);
        records.add_block(id, &key, &block)?;
        Ok(Some(block))
    });
    let block = created.await?.ok_or(ApiError::Conflict)?;
    Ok(json(StatusCode::CREATED, &block))
}

/// Puts what `<name>_id` refers to beside it. Answers whether all of it is there.
fn embed(
    records: &Transaction<'_>,
    body: &mut Fields,
    names: &[&str],
) -> Result<bool, RecordsError> {
    for name in names {
        let id = body.get(&format!("{name}_id")).and_then(Value::as_str);
        let Some(id) = id.and_then(|id| id.parse().ok()) else { return Ok(false) };
        let Some(part) = records.block(id)? else { return Ok(false) };
        body.insert((*name).to_owned(), part);
    }
    Ok(true)
}

fn fields(raw: &Raw) -> Result<Fields, ApiError> {
    let no_object = || Invalid::Detail("A block must be an object.".to_owned());
    Ok(leasehold_api::object(raw.bytes())?.ok_or_else(no_object)?)
}
