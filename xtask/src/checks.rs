//! What `cargo xtask ci` checks before it runs the tests.

use anyhow::Result;

use crate::environment::{cargo, has_cargo_subcommand};
use crate::laws;
use crate::step::{run, step};

/// Formatting, lints, documentation, laws, licences.
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
    step("licences and sources", || {
        if has_cargo_subcommand("deny") {
            return run(&mut cargo(&["deny", "--all-features", "check"]));
        }
        println!("cargo-deny is not installed, so this was not checked");
        Ok(())
    })
}
