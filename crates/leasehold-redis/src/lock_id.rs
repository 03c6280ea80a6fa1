//! The id of a task's lock: the SHA-256 of what Python's `json.dumps` wrote about the task.

use leasehold_python_json::{Json, Text};
use sha2::{Digest, Sha256};

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
pub fn lock_id(func: &str, args: &Json<'_>, kwargs: &Json<'_>) -> String {
    let entries = [("func", func.into()), ("args", args.clone()), ("kwargs", kwargs.clone())];
    let task = Json::Object(entries.map(|(key, value)| (key.into(), value)).into());
    let digest = Sha256::digest(task.dumps().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id of the lock of a task with `lock_key`: only the named keyword arguments count, and a
/// missing one is null.
///
/// # Errors
/// When `kwargs` is no object.
pub fn keyed_lock_id<'a>(
    func: &str,
    kwargs: &Json<'_>,
    lock_key: impl IntoIterator<Item = &'a str>,
) -> Result<String, LockIdError> {
    let Json::Object(_) = kwargs else {
        return Err(LockIdError::KwargsNoObject);
    };
    let mut named: Vec<_> = Vec::new();
    for key in lock_key {
        if named.iter().all(|(name, _)| *name != Text::from(key)) {
            named.push((Text::from(key), kwargs.get(key).cloned().unwrap_or(Json::Null)));
        }
    }
    Ok(lock_id(func, &Json::Null, &Json::Object(named)))
}
