//! What the tests need from the operating system.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::environment::{has_program, has_program_with};
use crate::step::run;

/// A program that tests start.
pub(crate) struct Program {
    /// Its name, or where Debian keeps it: `*` stands for one folder.
    pub(crate) name: &'static str,
    /// The Debian package that it is in.
    pub(crate) package: &'static str,
    /// The flag with which it tells its version and ends.
    pub(crate) version_flag: &'static str,
}

impl Program {
    fn is_there(&self) -> bool {
        let has = |name: &str| has_program_with(name, self.version_flag);
        let is_in_a_folder = || {
            let Some((before, after)) = self.name.split_once("/*/") else { return false };
            let folders = fs::read_dir(before).into_iter().flatten().flatten();
            let paths = folders.map(|folder| folder.path().join(after));
            paths.into_iter().any(|path| path.to_str().is_some_and(has))
        };
        // Elsewhere it is where programs usually are.
        has(self.name) || is_in_a_folder() || self.name.rsplit('/').next().is_some_and(has)
    }
}

/// Installs the Debian packages of the programs that are missing among `wanted`. Says what to
/// install where it cannot.
pub(crate) fn install_missing(wanted: &[Program]) -> Result<()> {
    let missing: Vec<_> = wanted.iter().filter(|program| !program.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|program| program.name).collect();
    let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
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
    if let Some(program) = missing.iter().find(|program| !program.is_there()) {
        bail!("{} was installed but cannot be started", program.name);
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
