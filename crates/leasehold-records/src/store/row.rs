//! What the columns of a row hold. A column that holds something else is damaged.

use rusqlite::Row;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Result;
use crate::error::RecordsError;

pub(super) fn id(row: &Row<'_>, column: usize) -> Result<Uuid> {
    Ok(Uuid::from_bytes(row.get(column)?))
}

pub(super) fn natural(row: &Row<'_>, column: usize) -> Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| RecordsError::damaged(format!("{number} is negative")))
}

/// What stands in a column as JSON.
pub(super) fn document<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    Ok(serde_json::from_str(&text)?)
}

/// The databases' integers are signed. A number beyond them is larger than all that is kept.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
