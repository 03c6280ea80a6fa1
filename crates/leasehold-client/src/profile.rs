//! Prefect's file of profiles: which one is active, and what it says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::source::{SettingsError, Source, text};

/// A profile: variables with their values.
pub(crate) struct Profile {
    name: String,
    path: PathBuf,
    values: Table,
}

impl Profile {
    /// What it says for a variable.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let value = self.values.get(name)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(text).filter(|text| !text.is_empty())
    }

    pub(crate) fn source(&self) -> Source {
        Source::Profile { name: self.name.clone(), path: self.path.clone() }
    }
}

/// The active profile, as Prefect chooses it: `PREFECT_PROFILE`, or else `active` in the file.
/// `None` if there is no file, or no such profile in it.
pub(crate) fn active(
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Profile>, SettingsError> {
    let Some(path) = path(variable) else { return Ok(None) };
    let Some(mut file) = read(&path)? else { return Ok(None) };
    let chosen = text(variable, "PREFECT_PROFILE")?;
    let in_file = || file.get("active").and_then(Value::as_str).map(str::to_owned);
    let Some(name) = chosen.or_else(in_file) else { return Ok(None) };
    let profiles = file.get_mut("profiles").and_then(Value::as_table_mut);
    let values = profiles.and_then(|profiles| match profiles.remove(&name)? {
        Value::Table(values) => Some(values),
        _ => None,
    });
    Ok(values.map(|values| Profile { name, path, values }))
}

fn path(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_user = || Some(set("HOME")?.join(".prefect"));
    set("PREFECT_PROFILES_PATH")
        .or_else(|| Some(set("PREFECT_HOME").or_else(of_user)?.join("profiles.toml")))
}

fn read(path: &Path) -> Result<Option<Table>, SettingsError> {
    let wrong = |why: String| SettingsError::File { path: path.to_owned(), why };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(wrong(format!("failed to read Prefect's profiles: {error}"))),
    };
    text.parse().map(Some).map_err(|error: toml::de::Error| {
        wrong(format!("Prefect's profiles are no TOML: {}", error.message()))
    })
}
