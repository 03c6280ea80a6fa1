//! Leases in Prefect's file storage: a file for each, and an index of when they expire.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use leasehold_engine::{Span, Timestamp};
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::moment;
use crate::prefect::{Holder, Lease};

/// What Prefect gives to holders that cannot renew: a hundred years.
const FOR_EVER: Span = Span::from_seconds(100 * 365 * 86_400);
const INDEX: &str = "expirations.json";

/// Writes leases. A lease that is there already is left as it is. Returns the files that are new.
pub(super) fn write<'a>(
    directory: &Path,
    leases: impl Iterator<Item = &'a Lease>,
    now: Timestamp,
) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(directory).map_err(Error::io(directory, "written"))?;
    let index_path = directory.join(INDEX);
    let mut index: Map<String, Value> = match fs::read_to_string(&index_path) {
        Ok(text) => serde_json::from_str(&text).unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(Error::io(&index_path, "read")(error)),
    };
    let mut written = Vec::new();
    for lease in leases {
        let expiration = moment::show_python(lease.deadline.unwrap_or(now + FOR_EVER));
        let path = directory.join(format!("{}.json", lease.id));
        if !path.exists() {
            replace(&path, &text_of(lease, &expiration))?;
            written.push(path);
        }
        index.insert(lease.id.to_string(), Value::from(expiration));
    }
    replace(&index_path, &Value::Object(index))?;
    Ok(written)
}

/// Takes back what was written: what it belongs to failed. Prefect passes over entries of the index
/// that have no file.
pub(super) fn remove(written: &[PathBuf]) {
    for path in written {
        // The failure that is returned says more.
        let _ = fs::remove_file(path);
    }
}

fn text_of(lease: &Lease, expiration: &str) -> Value {
    let mut metadata = json!({ "slots": lease.slots });
    // Prefect's server refuses to read holders of other kinds.
    let kinds = [Holder::TASK_RUN, Holder::FLOW_RUN, "deployment"];
    if let Some(holder) = lease.holder.as_ref().filter(|it| kinds.contains(&it.kind.as_str())) {
        metadata["holder"] = json!({ "type": holder.kind, "id": holder.id });
    }
    json!({
        "id": lease.id,
        "resource_ids": lease.limits,
        "metadata": metadata,
        "expiration": expiration,
        "created_at": moment::show_python(lease.created),
    })
}

/// Readers see the old file or the new one.
fn replace(path: &Path, value: &Value) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(path);
    let write = || {
        let mut file = NamedTempFile::with_prefix_in(".lease_", directory)?;
        file.write_all(value.to_string().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(Error::io(path, "written"))
}
