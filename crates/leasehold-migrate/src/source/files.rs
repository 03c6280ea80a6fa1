//! Leases in Prefect's file storage: `concurrency_leases/<id>.json`. The index beside them can be
//! behind, and is not read.

use std::fs;
use std::io;
use std::path::Path;

use super::lease_json;
use crate::error::Error;
use crate::prefect::Lease;

pub(super) fn read(directory: &Path, notes: &mut Vec<String>) -> Result<Vec<Lease>, Error> {
    let mut leases = Vec::new();
    for entry in fs::read_dir(directory).map_err(Error::io(directory, "read"))? {
        let path = entry.map_err(Error::io(directory, "read"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_lease = name.ends_with(".json") && name != "expirations.json";
        if !is_lease || name.starts_with('.') {
            continue;
        }
        let text = match fs::read_to_string(&path) {
            // Released since the directory was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text.map_err(Error::io(&path, "read"))?,
        };
        match lease_json::read(&text) {
            Ok(lease) => leases.push(lease),
            Err(reason) => notes.push(format!("the lease {name} is left out: {reason}")),
        }
    }
    Ok(leases)
}
