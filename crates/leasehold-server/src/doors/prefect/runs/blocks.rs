//! The one kind of block that clients before version 3 need to retry a flow: it names the client's
//! directory of results. The server serves no other blocks, because they may hold secrets.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_api::Timestamp;
use leasehold_prefect::{Invalid, Schemas};
use leasehold_records::{RecordsError, Transaction};
use serde_json::{Map, Value, json as value};

use super::{NOT_THERE, now_micros, read_id, recorder};
use crate::app::App;
use crate::doors::operation::{get, patch, post};
use crate::doors::prefect::error::Error;
use crate::doors::prefect::unserved::Unserved;
use crate::doors::routes::Routes;
use crate::http::answer::json;
use crate::http::body::Raw;
use crate::ids;

/// The kind of block that is served.
const SLUG: &str = "local-file-system";
const EXAMPLE_ID: &str = "5f0c2f9e-7d1b-4c6a-9a53-3f1f2b7d8e10";
const TYPE_KEY: &str = "type";
const NOT_FOUND: Error = Error::RecordNotFound("Block not found");

type Fields = Map<String, Value>;

pub(super) fn add(routes: Routes) -> Routes {
    document(schema(block_type(routes)))
}

fn block_type(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/block_types/", create_type)
                .named("create_block_type", "Record a type of blocks")
                .about("Of one type alone, `local-file-system`; there are no others here.")
                .free_body(|_| {
                    let example = value!({"slug": SLUG, "name": "Local File System"});
                    value!({"type": "object", "example": example})
                })
                .answers_with(201, block, "It is known.")
                .refuses(404, "Of another type.")
                .records(),
        )
        .add(
            get("/api/block_types/slug/{slug}", read_type)
                .named("read_block_type", "Read a type of blocks")
                .answers_with(200, block, "The type.")
                .refuses(404, NOT_THERE),
        )
        .add(
            patch("/api/block_types/{id}", update_type)
                .named("update_block_type", "Change a type of blocks")
                .done(204, "Accepted.")
                .refuses(404, NOT_THERE)
                .records(),
        )
}

fn schema(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/block_schemas/", create_schema)
                .named("create_block_schema", "Record a schema of blocks")
                .free_body(|_| value!({"type": "object", "example": {"block_type_id": EXAMPLE_ID}}))
                .answers_with(201, block, "It is known.")
                .refuses(409, "Its type is not known.")
                .records(),
        )
        .add(
            get("/api/block_schemas/checksum/{checksum}", read_schema)
                .named("read_block_schema", "Read a schema of blocks")
                .answers_with(200, block, "The schema.")
                .refuses(404, NOT_THERE),
        )
}

fn document(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/block_documents/", create_document)
                .named("create_block", "Record where results are")
                .free_body(|_| {
                    let example = value!({
                        "is_anonymous": true,
                        "block_type_id": EXAMPLE_ID,
                        "block_schema_id": EXAMPLE_ID,
                        "data": {"basepath": "/tmp"},
                    });
                    value!({"type": "object", "example": example})
                })
                .answers_with(201, block, "The block.")
                .refuses(404, "It has a name, and is no place of results.")
                .refuses(409, "Its type or its schema is not known.")
                .records(),
        )
        .add(
            get("/api/block_documents/{id}", read_document)
                .named("read_block", "Read where results are")
                .answers_with(200, block, "The block.")
                .refuses(404, NOT_THERE)
                .records(),
        )
}

fn block(_: &mut Schemas<'_>) -> Value {
    value!({"type": "object"})
}

async fn create_type(
    State(app): State<App>,
    unserved: Unserved,
    raw: Raw,
) -> Result<Response, Error> {
    let body = fields(&raw)?;
    if body.get("slug").and_then(Value::as_str) != Some(SLUG) {
        return Err(unserved.refuse(&app, Error::PATH_NOT_FOUND));
    }
    create(&app, body, TYPE_KEY.to_owned(), |_, _| Ok(true)).await
}

async fn read_type(
    State(app): State<App>,
    unserved: Unserved,
    Path(slug): Path<String>,
) -> Result<Response, Error> {
    if slug != SLUG {
        return Err(unserved.refuse(&app, NOT_FOUND));
    }
    let known = recorder(&app)?.write(move |records| records.block_by_key(TYPE_KEY)).await?;
    let known = known.ok_or(NOT_FOUND)?;
    Ok(json(StatusCode::OK, &known))
}

/// Changes nothing: an update concerns only the looks of the block, which differ by version.
async fn update_type(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let id = read_id(&id)?;
    let known = recorder(&app)?.write(move |records| records.block(id)).await?;
    known.map(|_| StatusCode::NO_CONTENT).ok_or(NOT_FOUND)
}

async fn create_schema(State(app): State<App>, raw: Raw) -> Result<Response, Error> {
    let mut body = fields(&raw)?;
    let key = format!("schema/{}", Value::from(body.clone()));
    // Clients compute the checksum by rules of their own. They look a schema up by it before they
    // create one.
    body.insert("checksum".to_owned(), "unknown".into());
    create(&app, body, key, |records, body| embed(records, body, &["block_type"])).await
}

/// Always 404. The client then creates the schema, and the answer to that is the recorded one.
async fn read_schema(State(app): State<App>, Path(_): Path<String>) -> Result<Response, Error> {
    recorder(&app)?;
    Err(NOT_FOUND)
}

async fn create_document(
    State(app): State<App>,
    unserved: Unserved,
    raw: Raw,
) -> Result<Response, Error> {
    let mut body = fields(&raw)?;
    if body.get("is_anonymous") != Some(&Value::Bool(true)) {
        return Err(unserved.refuse(&app, Error::PATH_NOT_FOUND));
    }
    let key = format!("document/{}", Value::from(body.clone()));
    body.insert("block_document_references".to_owned(), value!({}));
    create(&app, body, key, |records, body| embed(records, body, &["block_type", "block_schema"]))
        .await
}

async fn read_document(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Error> {
    let id = read_id(&id)?;
    let known = recorder(&app)?.write(move |records| records.block(id)).await?;
    Ok(json(StatusCode::OK, &known.ok_or(NOT_FOUND)?))
}

/// Creates a block once. The answer to a repeated request is the same block. `complete` adds what
/// the block refers to, and returns whether that exists.
async fn create<C>(app: &App, mut body: Fields, key: String, complete: C) -> Result<Response, Error>
where
    C: FnOnce(&Transaction<'_>, &mut Fields) -> Result<bool, RecordsError> + Send + 'static,
{
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
    let block = created.await?.ok_or(Error::Conflict)?;
    Ok(json(StatusCode::CREATED, &block))
}

/// Adds to a block, under each name, what `<name>_id` refers to. Returns whether all of it exists.
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

fn fields(raw: &Raw) -> Result<Fields, Error> {
    let no_object = || Invalid::Detail("A block must be an object.".to_owned());
    Ok(leasehold_prefect::object(raw.bytes())?.ok_or_else(no_object)?)
}
