//! What the tests need from the operating system.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::environment::has_program;
use crate::step::run;

/// Installs the Debian packages of the programs that are missing among `wanted`, given as
/// (program, package). Says what to install where it cannot.
pub(crate) fn install_missing(wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> = wanted.iter().filter(|(program, _)| !has_program(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    if !has_program("apt-get") || !is_root() {
        bail!(
            "{} not found; install it (on Debian or Ubuntu: apt-get install {}) and run again",
            programs.join(", "),
            packages.join(" ")
        );
    }
    run(Command::new("apt-get").args(["update", "--quiet"]))?;
    run(Command::new("apt-get")
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    if let Some(program) = programs.iter().find(|program| !has_program(program)) {
        bail!("{program} was installed but cannot be started");
    }
    Ok(())
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
