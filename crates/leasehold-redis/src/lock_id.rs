//! The id of a task's lock: the SHA-256 of what Python's `json.dumps` wrote about the task.

use crate::python_json::PythonJson;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Arguments that make no lock id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockIdError {
    /// `kwargs` has to be an object.
    #[error("kwargs is no JSON object")]
    KwargsNoObject,
}

/// The id of the lock of a task with `lock=True`.
#[must_use]
pub fn lock_id(func: &str, args: &PythonJson, kwargs: &PythonJson) -> String {
    let entries =
        [("func", PythonJson::str(func)), ("args", args.clone()), ("kwargs", kwargs.clone())];
    let dict: BTreeMap<Vec<u32>, PythonJson> = entries
        .into_iter()
        .map(|(key, value)| (key.chars().map(u32::from).collect(), value))
        .collect();
    let digest = Sha256::digest(PythonJson::Dict(dict).dumps().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id of the lock of a task with `lock_key`: only the named keyword arguments count, and a missing one is null.
///
/// # Errors
/// When `kwargs` is no object.
pub fn keyed_lock_id<'a>(
    func: &str,
    kwargs: &PythonJson,
    lock_key: impl IntoIterator<Item = &'a str>,
) -> Result<String, LockIdError> {
    let PythonJson::Dict(_) = kwargs else {
        return Err(LockIdError::KwargsNoObject);
    };
    let named = lock_key.into_iter().map(|key| {
        (key.chars().map(u32::from).collect(), kwargs.get(key).cloned().unwrap_or(PythonJson::Null))
    });
    Ok(lock_id(func, &PythonJson::Null, &PythonJson::Dict(named.collect())))
}
