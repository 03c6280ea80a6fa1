//! `cargo xtask test`: the suites, what each needs, and how many tests each of them ran.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::arguments::{FuzzArguments, Suite, TestArguments};
use crate::environment::{binary, cargo, has_cargo_subcommand, root, venv_dir};
use crate::fuzz;
use crate::packages::{self, Program};
use crate::step::{run, run_reading, step, succeeded};
use crate::venvs::{self, Venv};

/// What the tests in Rust start beside our own program.
const PROGRAMS: &[Program] = &[
    Program { name: "redis-server", package: "redis-server", version_flag: "--version" },
    // Debian keeps it where only root looks.
    Program { name: "/usr/sbin/nginx", package: "nginx-light", version_flag: "-v" },
    // Debian keeps it in a folder of its version.
    Program {
        name: "/usr/lib/postgresql/*/bin/initdb",
        package: "postgresql",
        version_flag: "--version",
    },
    Program { name: "systemd-analyze", package: "systemd", version_flag: "--version" },
];

/// What the tests of our pages, of Prefect's pages and of the figures start.
const WATCHING_PROGRAMS: &[Program] = &[
    Program { name: "chromium", package: "chromium", version_flag: "--version" },
    Program { name: "prometheus", package: "prometheus", version_flag: "--version" },
    Program { name: "promtool", package: "prometheus", version_flag: "--version" },
];

/// The Python environment of these tests.
const WATCHING: &str = "pages";

/// How many seeds the simulator goes through in CI.
const SEEDS: &str = "200";

/// The Prefect server behind the gateway, and the client in front of it.
const PREFECT_BEHIND: &str = "3.9.1";

/// The older servers and clients of its short form: the client before version 3, and a server of
/// the time when tags had a list of their own.
const BEHIND_SHORT: &[&str] = &["2.20.26", "3.4.10"];

/// For half a minute, with a tenth of the attackers. The dev profile says nothing of speed.
const SOAK: &[&str] =
    &["soak", "--minutes", "0.5", "--attackers", "0.1", "--p99-times-max", "1000"];

/// For how long CI fuzzes each target.
const FUZZ_MINUTES: f64 = 0.5;

/// Runs the suites that `arguments` ask for and sums them up.
pub(crate) fn run_wanted(arguments: &TestArguments) -> Result<()> {
    let started = Instant::now();
    let rust = arguments.wants(Suite::Rust);
    let clients = arguments.wants(Suite::Clients);
    let gateway = arguments.wants(Suite::Gateway);
    let pages = arguments.wants(Suite::Pages);
    let all = venvs::all()?;
    let client_venvs = venvs::with_clients(&all, &arguments.clients)?;
    let mut summary = Vec::new();

    // The gateway's tests start PostgreSQL.
    if rust || gateway {
        step("system packages", || packages::install_missing(PROGRAMS))?;
    }
    if pages || gateway {
        step("browser and Prometheus", || packages::install_missing(WATCHING_PROGRAMS))?;
    }
    if rust || clients || gateway || pages {
        let needed: Vec<_> = all
            .iter()
            .filter(|venv| match venv.client_version() {
                Some(version) => {
                    let is_client = client_venvs.iter().any(|client| client.name == venv.name);
                    (clients && is_client)
                        || (gateway && is_behind(version, arguments.whole))
                        || (pages && version == PREFECT_BEHIND)
                }
                None if venv.name == WATCHING => pages,
                None if venv.name == venvs::RUFF => false,
                None => rust,
            })
            .cloned()
            .collect();
        step("Python environments", || venvs::prepare(&needed))?;
        step("build", || run_cargo(&["build", "--workspace", "--all-targets"]))?;
    }
    if rust {
        summary.push(("Rust".to_owned(), step("Rust tests", rust_tests)?));
        step("Rust examples in documentation", || {
            run_cargo(&["test", "--workspace", "--doc", "--quiet"])
        })?;
    }
    if arguments.wants(Suite::Sim) {
        step("simulator", || {
            run_cargo(&["run", "--package", "leasehold-sim", "--", "--seeds", SEEDS])
        })?;
        summary.push(("simulator".to_owned(), format!("{SEEDS} seeds")));
        step("simulator of two owners", || {
            let owners = ["--owners", "--seeds", SEEDS];
            run_cargo(&[&["run", "--package", "leasehold-sim", "--"], &owners[..]].concat())
        })?;
        summary.push(("simulator of two owners".to_owned(), format!("{SEEDS} seeds")));
    }
    if arguments.wants(Suite::Fuzz) {
        fuzz::run_wanted(&FuzzArguments { target: None, minutes: FUZZ_MINUTES })?;
        summary.push(("fuzz".to_owned(), format!("{FUZZ_MINUTES} minutes for each target")));
    }
    if arguments.wants(Suite::Soak) {
        step("soak", || {
            run_cargo(&[&["run", "--package", "leasehold-bench", "--"], SOAK].concat())
        })?;
        summary.push(("soak".to_owned(), "no bound was broken".to_owned()));
    }
    if clients {
        for venv in &client_venvs {
            let version = venv.client_version().unwrap_or(&venv.name);
            let name = format!("Prefect client {version}");
            let closing = step(&name, || pytest(venv, "clients", &arguments.pytest))?;
            summary.push((name, closing));
        }
    }
    let behind = format!("prefect-{PREFECT_BEHIND}");
    for (is_wanted, venv, folder) in [(gateway, &*behind, "gateway"), (pages, WATCHING, WATCHING)] {
        if is_wanted {
            let found = venvs::named(venv)?;
            let mut extra = arguments.pytest.clone();
            if arguments.whole && folder == "gateway" {
                extra.push("--whole".to_owned());
            }
            let closing = step(folder, || pytest(&found, folder, &extra))?;
            summary.push((format!("{folder}, with {venv}"), closing));
        }
    }

    println!("\n── all passed in {:.0} s", started.elapsed().as_secs_f64());
    for (suite, closing) in summary {
        println!("{suite}: {closing}");
    }
    Ok(())
}

/// Whether the gateway's tests start a server or a client of this version.
fn is_behind(version: &str, whole: bool) -> bool {
    whole || version == PREFECT_BEHIND || BEHIND_SHORT.contains(&version)
}

fn run_cargo(arguments: &[&str]) -> Result<()> {
    run(&mut cargo(arguments))
}

/// nextest where it is installed, else cargo's own runner. Answers the closing line.
fn rust_tests() -> Result<String> {
    if has_cargo_subcommand("nextest") {
        let mut command = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        return counted(with_test_environment(&mut command), |line| {
            line.trim_start().starts_with("Summary [")
        });
    }
    let mut passed = 0;
    let mut command =
        cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    let status = run_reading(with_test_environment(&mut command), |line| {
        if line.starts_with("test result:") {
            passed += passed_tests(line).unwrap_or(0);
        }
    })?;
    succeeded(status)?;
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(format!("{passed} passed"))
}

/// The tests in a folder of `tests`, in one environment. Answers pytest's closing line.
fn pytest(venv: &Venv, folder: &str, arguments: &[String]) -> Result<String> {
    let mut command = Command::new(venv.python());
    command
        .args(["-m", "pytest", "--numprocesses", "2", "--dist", "worksteal"])
        .arg(Path::new("tests").join(folder))
        .args(arguments)
        .current_dir(root());
    counted(with_test_environment(&mut command), |line| {
        line.starts_with('=') && line.ends_with('=') && line.contains(" in ")
    })
}

fn with_test_environment(command: &mut Command) -> &mut Command {
    command
        .env("LEASEHOLD_BIN", binary())
        .env("LEASEHOLD_TEST_VENV_DIR", venv_dir())
        // Points the tests of the clients at somebody else's server.
        .env_remove("LEASEHOLD_TEST_API_URL")
}

/// Runs a test runner and answers its closing line, which has to speak of tests that passed:
/// a run of nothing is no success.
fn counted(command: &mut Command, is_closing: impl Fn(&str) -> bool) -> Result<String> {
    let mut closing = None;
    let status = run_reading(command, |line| {
        if is_closing(line) {
            closing = Some(line.trim_matches(|c| c == '=' || c == ' ').to_owned());
        }
    })?;
    succeeded(status)?;
    let closing = closing.context("the test runner printed no closing line")?;
    match passed_tests(&closing) {
        Some(1..) => Ok(closing),
        _ => bail!("no test ran: {closing}"),
    }
}

/// The number before the word "passed".
fn passed_tests(line: &str) -> Option<u32> {
    let words: Vec<_> = line.split([' ', ',', ';', '.']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| *word == "passed")?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::passed_tests;

    #[test]
    fn each_runner_says_how_many_passed() {
        let nextest = "     Summary [   0.005s] 12 tests run: 11 passed (1 slow), 3 skipped";
        assert_eq!(passed_tests(nextest), Some(11));
        let cargo = "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(passed_tests(cargo), Some(7));
        let pytest = "======= 34 passed, 2 skipped in 61.20s (0:01:01) =======";
        assert_eq!(passed_tests(pytest), Some(34));
    }

    #[test]
    fn a_run_of_nothing_says_nothing_of_passing() {
        assert_eq!(passed_tests("===== no tests ran in 0.01s ====="), None);
        assert_eq!(passed_tests("===== 2 skipped in 0.01s ====="), None);
    }
}
