//! Which limit a path means: `/v2/concurrency_limits/{id_or_name}`.
//!
//! The recorded server takes a text that reads as a UUID for an id and looks no further, so that a
//! limit with such a name can be made and acquired, but never read, changed or deleted by its name;
//! and a `DELETE` of the name deletes the limit that happens to have this id. Here a text that is
//! no limit's id is looked up as a name, and a text that is both means neither.

use leasehold_engine::{LimitId, LimitRef, LimitView, Scope};
use leasehold_prefect::path::IdOrName;
use uuid::Uuid;

use crate::app::App;
use crate::doors::prefect::error::Error;

/// The limit that a path names.
///
/// # Errors
/// 409 if one limit has this id and another one this name. The sentence says how to name either.
pub(crate) async fn of_path(app: &App, text: &str) -> Result<LimitRef, Error> {
    let name = LimitRef::Name(text.into());
    let IdOrName::Id(id) = IdOrName::from_path(text) else { return Ok(name) };
    let id = LimitRef::Id(LimitId(id.as_u128()));
    let by_id = app.ledger().limit(id.clone(), Scope::All).await?;
    let by_name = app.ledger().limit(name, Scope::All).await?;
    match (by_id, by_name) {
        (Some(by_id), Some(by_name)) if by_id.limit.id != by_name.limit.id => {
            Err(Error::Ambiguous(which(text, &by_id, &by_name)))
        }
        // By the id just found, so that a rename in the meantime does not change which limit the
        // request means.
        (None, Some(by_name)) => Ok(LimitRef::Id(by_name.limit.id)),
        (_, None) | (Some(_), Some(_)) => Ok(id),
    }
}

fn which(text: &str, by_id: &LimitView, by_name: &LimitView) -> String {
    let other = Uuid::from_u128(by_name.limit.id.0);
    format!(
        "'{text}' is the id of the limit '{}' and the name of another limit, whose id is {other}. \
         Say which one: the first has its name, the second its id.",
        by_id.limit.name
    )
}
