//! The form of a file of limits, and what is wrong with one.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

/// Limits as a server should have them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Limits of Leasehold")]
pub(super) struct File {
    /// The limits, each named once.
    pub(super) limits: Vec<Entry>,
}

/// A limit: one with a name, or that of a tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The name of a global limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// A tag: how many task runs with it may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
    /// How many slots it has.
    pub(super) limit: u64,
    /// How many slots come back by themselves each second: for a rate limit. 0 without it.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0.0))]
    pub(super) slot_decay_per_second: f64,
    /// Whether it is enforced. It is without it.
    #[serde(default = "truth", skip_serializing_if = "is_true")]
    pub(super) active: bool,
    /// Words for people who read the file. The server does not store them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn is_true(value: &bool) -> bool {
    *value
}

fn truth() -> bool {
    true
}

/// The JSON Schema of a file.
pub(super) fn schema() -> Schema {
    schema_for!(File)
}

/// What a limit is called, in one name for both kinds: Leasehold and Prefect call that of a tag
/// `tag:…`.
pub(super) const TAG: &str = "tag:";

/// A limit that a file names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) limit: u64,
    pub(super) slot_decay_per_second: f64,
    pub(super) active: bool,
}

/// All limits of files, by name. Each file goes with its name, for errors.
pub(super) fn merge(files: Vec<(String, File)>) -> Result<BTreeMap<String, Wanted>, String> {
    let mut all: BTreeMap<String, (String, Wanted)> = BTreeMap::new();
    for (path, file) in files {
        for (number, entry) in (1..).zip(file.limits) {
            let wanted = read(entry).map_err(|why| format!("{path}: limit {number}: {why}"))?;
            let name = wanted.name.clone();
            if let Some((other, _)) = all.insert(name.clone(), (path.clone(), wanted)) {
                return Err(if other == path {
                    format!("{path}: {name:?} stands there twice: remove one")
                } else {
                    format!("{name:?} stands in {other} and in {path}: remove one")
                });
            }
        }
    }
    Ok(all.into_iter().map(|(name, (_, wanted))| (name, wanted)).collect())
}

fn read(entry: Entry) -> Result<Wanted, String> {
    let Entry { name, tag, limit, slot_decay_per_second, active, comment: _ } = entry;
    if !slot_decay_per_second.is_finite() || slot_decay_per_second < 0.0 {
        return Err(format!(
            "slot_decay_per_second is {slot_decay_per_second}: it has to be 0 or more"
        ));
    }
    let name = match (name, tag) {
        (Some(name), None) if name.is_empty() => return Err("its name is empty".to_owned()),
        (Some(name), None) => match name.strip_prefix(TAG) {
            Some(tag) => return Err(format!("write `tag: {tag}` instead of `name: {name}`")),
            None => name,
        },
        (None, Some(tag)) if tag.is_empty() => return Err("its tag is empty".to_owned()),
        (None, Some(tag)) if slot_decay_per_second > 0.0 || !active => {
            return Err(format!("the tag {tag:?} has a limit alone: no decay, and always active"));
        }
        (None, Some(tag)) => format!("{TAG}{tag}"),
        (Some(name), Some(tag)) => {
            return Err(format!("it has the name {name:?} and the tag {tag:?}: give one"));
        }
        (None, None) => return Err("it has neither a name nor a tag".to_owned()),
    };
    Ok(Wanted { name, limit, slot_decay_per_second, active })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(texts: &[&str]) -> Result<BTreeMap<String, Wanted>, String> {
        let read = |(number, text): (usize, &&str)| {
            (format!("{number}.yaml"), serde_saphyr::from_str(text).unwrap())
        };
        merge(texts.iter().enumerate().map(read).collect())
    }

    #[test]
    fn a_file_names_limits_rates_and_tags() {
        let limits = merged(&["limits:\n- {name: a, limit: 1}\n- {tag: b, limit: 2}\n\
                               - name: c # a rate\n  limit: 3\n  slot_decay_per_second: 0.5\n"]);
        let names: Vec<_> = limits.unwrap().into_keys().collect();
        assert_eq!(names, ["a", "c", "tag:b"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (texts, why) in [
            (&["limits: [{limit: 1}]"][..], "neither a name nor a tag"),
            (&["limits: [{name: a, tag: b, limit: 1}]"], "give one"),
            (&["limits: [{name: 'tag:a', limit: 1}]"], "write `tag: a`"),
            (&["limits: [{tag: a, limit: 1, active: false}]"], "no decay"),
            (&["limits: [{name: a, limit: 1, slot_decay_per_second: -1}]"], "0 or more"),
            (&["limits: [{name: a, limit: 1}, {name: a, limit: 2}]"], "twice"),
            (&["limits: [{name: a, limit: 1}]", "limits: [{name: a, limit: 1}]"], "0.yaml and in"),
        ] {
            let error = merged(texts).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(serde_saphyr::from_str::<File>("limits: [{name: a, limits: 1}]").is_err());
    }
}
