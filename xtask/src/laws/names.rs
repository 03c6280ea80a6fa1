//! A law for each row: some names stand in one place only. A function that reads the time or makes
//! an id is no function of its arguments: a test cannot call it twice alike, and the simulator
//! cannot replay it.

use super::Breach;
use super::source::{Source, Token};

/// Names, where they are forbidden, and the places that are excepted.
struct Law {
    name: &'static str,
    /// The ends of the paths that are forbidden. A `!` stands for a macro.
    forbidden: &'static [&'static str],
    /// Where: paths that begin so.
    within: &'static [&'static str],
    binds: Binds,
    /// Where the names may stand, and why.
    places: &'static [(&'static str, &'static str)],
    remedy: &'static str,
}

/// Which code a law binds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Binds {
    Product,
    Tests,
}

/// Everything that decides about leases and records. What is left out: the program, and
/// `leasehold-client` and `leasehold-redis`, whose deadlines run on the monotonic clock from before
/// a request is sent;
/// the benchmarks, which measure; and `xtask`.
const DECIDES: &[&str] = &[
    "crates/leasehold-api/",
    "crates/leasehold-engine/",
    "crates/leasehold-journal/",
    "crates/leasehold-migrate/",
    "crates/leasehold-node/",
    "crates/leasehold-prefect/",
    "crates/leasehold-python-json/",
    "crates/leasehold-records/",
    "crates/leasehold-server/",
    "crates/leasehold-sim/",
    "crates/leasehold-sqlite/",
];

const LAWS: &[Law] = &[
    Law {
        name: "time",
        forbidden: &[
            "Instant::now",
            "SystemTime::now",
            "Timestamp::now",
            "Zoned::now",
            "Utc::now",
            "Local::now",
            "clock_gettime",
        ],
        within: DECIDES,
        binds: Binds::Product,
        places: &[
            ("crates/leasehold-node/src/clock.rs", "the clock"),
            (
                "crates/leasehold-journal/src/postgres/tenure.rs",
                "the monotonic clock, by which a node knows that its ownership has run out",
            ),
            (
                "crates/leasehold-server/src/http/serve/line.rs",
                "tokio's clock, which times all patience with a connection and which tests pause",
            ),
            (
                "crates/leasehold-server/src/upstream/pulse.rs",
                "for how long the upstream has been silent; limits and leases know nothing of it",
            ),
            ("crates/leasehold-sim/src/main.rs", "reports how long the whole run took"),
        ],
        remedy: "take the time as an argument; the clock is read at the outer edge",
    },
    Law {
        name: "ids",
        forbidden: &["Uuid::now_v7", "Uuid::new_v7", "Uuid::new_v4"],
        within: DECIDES,
        binds: Binds::Product,
        places: &[("crates/leasehold-server/src/ids.rs", "the ids")],
        remedy: "take the id as an argument, or call `ids`",
    },
    Law {
        name: "sleep",
        forbidden: &["thread::sleep", "time::sleep"],
        within: DECIDES,
        binds: Binds::Tests,
        places: &[
            ("crates/leasehold-journal/tests/postgres/", "a real server's clock decides"),
            ("crates/leasehold-server/src/http/serve/client_stream.rs", "tokio's clock is paused"),
            ("crates/leasehold-server/tests/it/trouble.rs", "tokio's clock is paused"),
        ],
        remedy: "let the test's own clock pass, or wait for a condition",
    },
    Law {
        name: "output",
        forbidden: &["println!", "print!", "eprintln!", "eprint!"],
        within: &["crates/"],
        binds: Binds::Product,
        places: &[
            ("crates/leasehold/build.rs", "speaks to cargo"),
            ("crates/leasehold-bench/", "prints what it measured"),
            ("crates/leasehold-redis/examples/", "prints what it measured"),
            ("crates/leasehold-sim/src/main.rs", "prints its result"),
        ],
        remedy: "print through output.rs, which escapes what a terminal would act on, or log",
    },
];

/// Checks the names of a file.
pub(super) fn check(source: &Source) -> Vec<Breach> {
    LAWS.iter().flat_map(|law| law.check(source)).collect()
}

impl Law {
    fn check(&self, source: &Source) -> Vec<Breach> {
        let begins = |prefix: &&str| source.path.starts_with(prefix);
        let is_excepted = self.places.iter().any(|(place, _)| begins(place));
        if is_excepted || !self.within.iter().any(begins) {
            return Vec::new();
        }
        let mut breaches = Vec::new();
        for (at, token) in source.tokens.iter().enumerate() {
            if token.is_test != (self.binds == Binds::Tests) {
                continue;
            }
            let found = self.forbidden.iter().find(|name| stands(name, &source.tokens[at..]));
            if let Some(name) = found {
                breaches.push(Breach {
                    law: self.name,
                    place: source.at(token.line),
                    why: format!("`{name}` outside its place: {}", self.remedy),
                });
            }
        }
        breaches
    }
}

/// Whether the tokens begin with a name such as `Instant::now` or `println!`.
fn stands(name: &str, tokens: &[Token]) -> bool {
    let mut tokens = tokens.iter().map(|token| token.text.as_str());
    let mut rest = name;
    while !rest.is_empty() {
        let end = rest.find([':', '!']).unwrap_or(rest.len()).max(1);
        if tokens.next() != Some(&rest[..end]) {
            return false;
        }
        rest = &rest[end..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let source = Source::new(path, text.to_owned()).unwrap();
        check(&source).iter().map(|breach| format!("{} {}", breach.law, breach.place)).collect()
    }

    #[test]
    fn reading_the_time_in_the_engine_is_found_in_macros_too() {
        let text = "fn a() {\n    assert!(std::time::Instant::now() > b);\n}";
        let path = "crates/leasehold-engine/src/queue.rs";
        assert_eq!(broken(path, text), ["time crates/leasehold-engine/src/queue.rs:2"]);
        assert!(broken("crates/leasehold-node/src/clock.rs", text).is_empty());
        assert!(broken("crates/leasehold-engine/tests/queue.rs", text).is_empty());
    }

    #[test]
    fn a_test_that_sleeps_is_found_and_a_product_that_waits_is_not() {
        let text = "async fn a() { tokio::time::sleep(b).await }";
        assert!(broken("crates/leasehold-server/src/serve.rs", text).is_empty());
        assert_eq!(broken("crates/leasehold-server/tests/it/a.rs", text).len(), 1);
        let fake = "fn a() { app.sleep(1.0) }";
        assert!(broken("crates/leasehold-server/tests/it/a.rs", fake).is_empty());
    }

    #[test]
    fn printing_past_the_output_is_found() {
        let text = "fn a() { println!(\"{b}\") }";
        assert_eq!(broken("crates/leasehold/src/commands/mod.rs", text).len(), 1);
        assert!(broken("crates/leasehold-bench/src/report.rs", text).is_empty());
    }
}
