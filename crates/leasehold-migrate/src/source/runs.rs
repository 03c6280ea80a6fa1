//! The runs that hold leases, and their states.

use serde_json::{Value, json};
use uuid::Uuid;

use super::tables::{Columns, list_of};
use crate::api::Api;
use crate::database::Database;
use crate::error::Error;
use crate::prefect::{Holder, Run};

const AT_ONCE: usize = 200;
const KINDS: [&str; 2] = [Holder::TASK_RUN, Holder::FLOW_RUN];

/// Runs that are in no table are left out.
pub(super) async fn from_tables(
    database: &Database,
    holders: &[Holder],
) -> Result<Vec<(Holder, Run)>, Error> {
    let mut runs = Vec::new();
    for kind in KINDS {
        for ids in ids_of(kind, holders).chunks(AT_ONCE) {
            let ids = list_of(ids);
            let sql = format!("SELECT id, name, state_type FROM {kind} WHERE id IN ({ids})");
            for row in database.rows(&sql).await? {
                let columns = Columns::new(database, kind, row);
                let holder = Holder { kind: kind.to_owned(), id: columns.uuid(0)? };
                let name = columns.optional(1).unwrap_or_default().to_owned();
                runs.push((holder, Run { name, state: columns.optional(2).map(str::to_owned) }));
            }
        }
    }
    Ok(runs)
}

/// Runs that the server does not know are left out.
pub(super) async fn from_api(api: &Api, holders: &[Holder]) -> Result<Vec<(Holder, Run)>, Error> {
    let mut runs = Vec::new();
    for kind in KINDS {
        for ids in ids_of(kind, holders).chunks(AT_ONCE) {
            let body = json!({ format!("{kind}s"): { "id": { "any_": ids } }, "limit": AT_ONCE });
            for run in api.list(&format!("/{kind}s/filter"), body).await? {
                runs.extend(run_of(kind, &run));
            }
        }
    }
    Ok(runs)
}

fn run_of(kind: &str, run: &Value) -> Option<(Holder, Run)> {
    let id = Uuid::parse_str(run["id"].as_str()?).ok()?;
    let name = run["name"].as_str().unwrap_or_default().to_owned();
    let state = run["state_type"].as_str().map(str::to_owned);
    Some((Holder { kind: kind.to_owned(), id }, Run { name, state }))
}

fn ids_of(kind: &str, holders: &[Holder]) -> Vec<Uuid> {
    holders.iter().filter(|holder| holder.kind == kind).map(|holder| holder.id).collect()
}
