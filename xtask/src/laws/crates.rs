//! A law: which crate may depend on which. An arrow points down only.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Breach;
use crate::environment::cargo;

/// A crate, what it may depend on of ours, and what it must not depend on of others.
struct Floor {
    name: &'static str,
    /// In every build, but for its tests.
    may: &'static [&'static str],
    never: &'static [&'static str],
}

/// From the ground up.
const FLOORS: &[Floor] = &[
    // The rules are pure: no I/O, no async, no serde, no randomness.
    Floor { name: "leasehold-engine", may: &[], never: IMPURE },
    Floor { name: "leasehold-sqlite", may: &[], never: NETWORK },
    Floor { name: "leasehold-python-json", may: &[], never: NETWORK },
    // Its client of PostgreSQL runs on tokio.
    Floor { name: "leasehold-journal", may: &["leasehold-engine", "leasehold-sqlite"], never: WEB },
    // Decides who grants which limit, and does nothing.
    Floor { name: "leasehold-gateway", may: &["leasehold-engine"], never: IMPURE },
    Floor { name: "leasehold-node", may: &["leasehold-engine", "leasehold-journal"], never: WEB },
    Floor { name: "leasehold-records", may: &["leasehold-sqlite"], never: NETWORK },
    // What a client needs: neither the engine nor a server.
    Floor { name: "leasehold-api", may: &["leasehold-python-json"], never: NETWORK },
    // Speaks HTTP to a server, and knows nothing of what runs inside one.
    Floor {
        name: "leasehold-client",
        may: &["leasehold-api"],
        never: &["axum", "redis", "rusqlite"],
    },
    // Reads and writes other servers' databases; it serves nothing.
    Floor {
        name: "leasehold-migrate",
        may: &["leasehold-client", "leasehold-engine", "leasehold-journal"],
        never: &["axum"],
    },
    Floor {
        name: "leasehold-prefect",
        may: &["leasehold-api", "leasehold-python-json"],
        never: NETWORK,
    },
    Floor {
        name: "leasehold-server",
        may: &[
            "leasehold-api",
            "leasehold-engine",
            "leasehold-gateway",
            "leasehold-journal",
            "leasehold-node",
            "leasehold-prefect",
            "leasehold-python-json",
            "leasehold-records",
        ],
        never: &["rusqlite", "redis"],
    },
    // Knows nothing of the server.
    Floor {
        name: "leasehold-redis",
        may: &["leasehold-python-json"],
        never: &["axum", "rusqlite"],
    },
    Floor {
        name: "leasehold",
        may: &[
            "leasehold-api",
            "leasehold-client",
            "leasehold-journal",
            "leasehold-migrate",
            "leasehold-node",
            "leasehold-records",
            "leasehold-redis",
            "leasehold-server",
            "leasehold-sqlite",
        ],
        never: &["rusqlite"],
    },
    // Drives what ships, over no network.
    Floor {
        name: "leasehold-sim",
        may: &["leasehold-engine", "leasehold-gateway", "leasehold-journal", "leasehold-node"],
        never: NETWORK,
    },
    // Sends random bytes to what reads bytes.
    Floor {
        name: "leasehold-fuzz",
        may: &[
            "leasehold-api",
            "leasehold-engine",
            "leasehold-journal",
            "leasehold-node",
            "leasehold-prefect",
            "leasehold-records",
            "leasehold-server",
        ],
        never: &[],
    },
    // Measures from outside.
    Floor { name: "leasehold-bench", may: &["leasehold-redis"], never: &[] },
    Floor { name: "xtask", may: &[], never: &["tokio"] },
];

const WEB: &[&str] = &["axum", "hyper", "tower", "redis"];
const NETWORK: &[&str] = &["axum", "hyper", "tower", "redis", "tokio"];
const IMPURE: &[&str] =
    &["axum", "fastrand", "jiff", "rusqlite", "serde", "serde_json", "tokio", "tracing", "uuid"];

/// A crate and what it depends on, without what its tests alone need.
pub(super) struct Crate {
    name: String,
    dependencies: BTreeSet<String>,
}

/// Asks cargo.
pub(super) fn read() -> Result<Vec<Crate>> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cannot read `cargo metadata`")?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` has no packages")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let read = packages.iter().map(|package| Crate {
        name: text(&package["name"]),
        dependencies: package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| text(&dependency["name"]))
            .collect(),
    });
    Ok(read.collect())
}

/// Checks what each crate depends on.
pub(super) fn check(crates: &[Crate]) -> Vec<Breach> {
    let ours = |name: &str| crates.iter().any(|other| other.name == name);
    let mut breaches = Vec::new();
    let mut breach = |name: &str, why: String| {
        breaches.push(Breach { law: "crates", place: format!("{name}/Cargo.toml"), why });
    };
    for Crate { name, dependencies } in crates {
        let Some(floor) = FLOORS.iter().find(|floor| floor.name == name) else {
            breach(name, "a new crate: give it a row in xtask/src/laws/crates.rs".to_owned());
            continue;
        };
        for dependency in dependencies {
            let dependency = dependency.as_str();
            let is_above = ours(dependency) && !floor.may.contains(&dependency);
            if is_above || floor.never.contains(&dependency) {
                breach(name, format!("depends on `{dependency}`, and must know nothing of it"));
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(name: &str, dependency: &str) -> Vec<String> {
        let made =
            |name: &str, dependencies: BTreeSet<_>| Crate { name: name.into(), dependencies };
        let crates = [
            made(name, BTreeSet::from([dependency.to_owned()])),
            made("leasehold-server", BTreeSet::new()),
        ];
        check(&crates).into_iter().map(|breach| breach.why).collect()
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        assert_eq!(broken("leasehold-engine", "leasehold-server").len(), 1);
        assert!(broken("leasehold", "leasehold-server").is_empty());
    }

    #[test]
    fn the_engine_has_no_serde() {
        assert_eq!(broken("leasehold-engine", "serde").len(), 1);
        assert!(broken("leasehold-engine", "rustc-hash").is_empty());
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        assert!(broken("leasehold-cellar", "serde")[0].starts_with("a new crate"));
    }
}
