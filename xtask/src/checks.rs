//! What `cargo xtask ci` checks before it runs the tests.

use std::process::Command;

use anyhow::Result;

use crate::environment::{cargo, has_cargo_subcommand, root};
use crate::step::{run, step};
use crate::{laws, venvs};

/// Formatting, lints in Rust and Python, documentation, laws, licences.
pub(crate) fn run_all() -> Result<()> {
    step("formatting", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("lints", || {
        run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    step("documentation", || {
        run(cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    step("laws", laws::check)?;
    step("lints of the tests in Python", || {
        let ruff = venvs::named(venvs::RUFF)?;
        venvs::prepare(std::slice::from_ref(&ruff))?;
        let check = ["-m", "ruff", "check", "--no-cache"];
        run(Command::new(ruff.python()).args(check).arg(root().join("tests")))
    })?;
    step("licences and sources", || {
        if has_cargo_subcommand("deny") {
            return run(&mut cargo(&["deny", "--all-features", "check"]));
        }
        println!("cargo-deny is not installed, so this was not checked");
        Ok(())
    })
}
