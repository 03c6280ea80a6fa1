//! A law: which folder of a crate may know which. A module names modules on lower floors only, and
//! none beside it.

use super::Breach;
use super::source::Source;
use super::tree::{self, File};

/// A crate, and its floors from the ground up. Modules that stand apart on one floor do not know
/// each other; modules that `+` joins are one unit. `*` is every module that stands nowhere else.
const CRATES: &[(&str, &[&[&str]])] = &[
    (
        "crates/leasehold-engine",
        &[
            &["time"],
            &["decay + unleased"],
            &["limit + holder + origin + lease + ticket"],
            &["acquire + query + command"],
            &["*"],
            &["queue"],
            &["ledger"],
            &["rules"],
        ],
    ),
    (
        "crates/leasehold-server",
        &[
            &["ids", "log_throttle"],
            &["access + config"],
            &["http", "records", "survey"],
            &["event_log", "figures", "upstream"],
            &["liveness"],
            &["acquire", "migration"],
            &["app"],
            &["doors::convert", "doors::native::error", "doors::prefect::error"],
            &["doors::native::paths", "doors::prefect::unserved"],
            &["doors::operation + doors::groups + doors::routes"],
            // The doors do not know each other.
            &[
                "doors::gateway",
                "doors::native",
                "doors::operations",
                "doors::pages",
                "doors::prefect",
            ],
            &["doors"],
            &["router"],
            &["server", "standby"],
        ],
    ),
];

/// Checks the crates that have floors.
pub(super) fn check(sources: &[Source]) -> Vec<Breach> {
    let trees = tree::all(sources);
    let mut breaches = Vec::new();
    for (name, floors) in CRATES {
        let Some(tree) = trees.get(name) else { continue };
        for file in tree.files.iter().filter(|file| !file.module.is_empty()) {
            let Some(own) = place(floors, file) else {
                let why = "this module has no floor: give it one in xtask/src/laws/floors.rs";
                breaches.push(breach(file, 1, why.to_owned()));
                continue;
            };
            for (other, line) in &file.names {
                let other = &tree.files[*other];
                if let Some(named) = place(floors, other).filter(|named| !may_name(own, *named)) {
                    let why = format!(
                        "`{}` names `{}`, which is {}: move what both need below both",
                        file.module.join("::"),
                        other.module.join("::"),
                        if named.0 == own.0 { "on the same floor" } else { "above" }
                    );
                    breaches.push(breach(file, *line, why));
                }
            }
        }
    }
    breaches
}

fn breach(file: &File<'_>, line: usize, why: String) -> Breach {
    Breach { law: "floors", place: file.source.at(line), why }
}

/// Floor and unit.
type Place = (usize, usize);

fn may_name(own: Place, named: Place) -> bool {
    named.0 < own.0 || named == own
}

/// Where a file stands: with the longest name that its module begins with.
fn place(floors: &[&[&str]], file: &File<'_>) -> Option<Place> {
    let mut found = None;
    for (floor, units) in floors.iter().enumerate() {
        for (unit, names) in units.iter().enumerate() {
            for name in names.split(" + ") {
                let length = name.split("::").count();
                let is_within = || file.module.join("::").starts_with(name);
                let fits = match name {
                    "*" => !file.module.is_empty(),
                    _ => is_within() && file.module[..length].join("::") == name,
                };
                let weight = if name == "*" { 0 } else { length };
                if fits && found.is_none_or(|(most, _)| weight >= most) {
                    found = Some((weight, (floor, unit)));
                }
            }
        }
    }
    found.map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(files: &[(&str, &str)]) -> Vec<String> {
        let read = |(path, text): &(&str, &str)| {
            Source::new(&format!("crates/leasehold-{path}"), (*text).to_owned()).unwrap()
        };
        let sources: Vec<_> = files.iter().map(read).collect();
        check(&sources).into_iter().map(|breach| breach.place).collect()
    }

    #[test]
    fn a_noun_that_names_a_verb_is_found() {
        let engine = [
            ("engine/src/lib.rs", "mod limit; mod rules;"),
            ("engine/src/limit.rs", "use crate::rules::Step;"),
            ("engine/src/rules.rs", "use crate::limit::Limit;"),
        ];
        assert_eq!(broken(&engine), ["crates/leasehold-engine/src/limit.rs:1"]);
    }

    #[test]
    fn a_door_that_names_another_door_is_found() {
        let server = [
            ("server/src/doors/native/a.rs", "use crate::app::App;\nuse crate::doors::prefect::b;"),
            ("server/src/doors/prefect/b.rs", "use crate::doors::routes::Routes;"),
            ("server/src/doors/prefect/mod.rs", "mod b;"),
            ("server/src/doors/mod.rs", "mod native; mod prefect; mod routes;"),
            ("server/src/doors/routes.rs", "struct Routes;"),
            ("server/src/app.rs", "use crate::access::Gate;"),
            ("server/src/access.rs", "use crate::config::Config;"),
            ("server/src/config.rs", "use crate::access::Peer;"),
        ];
        assert_eq!(broken(&server), ["crates/leasehold-server/src/doors/native/a.rs:2"]);
    }

    #[test]
    fn a_new_folder_of_the_server_needs_a_floor() {
        let server = [("server/src/cellar.rs", "")];
        assert_eq!(broken(&server), [] as [&str; 0], "a file without code");
        let server = [("server/src/cellar.rs", "struct Wine;")];
        assert_eq!(broken(&server), ["crates/leasehold-server/src/cellar.rs:1"]);
    }
}
