//! The Python environments of the tests: one for each file of `tests/venvs`, made once.
//!
//! An environment carries a stamp of what it was made from, written last, so that one that is
//! stale or was left half made is made again.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::environment::{root, venv_dir};
use crate::packages::{self, Program};

/// The environment of the linter.
pub(crate) const RUFF: &str = "ruff";

/// How many are made at once: pip waits for the network half of the time.
const IN_PARALLEL: usize = 3;

/// A Python environment, whose requirements are pinned in `tests/venvs/<name>.txt`.
#[derive(Clone, Debug)]
pub(crate) struct Venv {
    pub(crate) name: String,
    requirements: PathBuf,
}

impl Venv {
    /// Its interpreter.
    pub(crate) fn python(&self) -> PathBuf {
        self.dir().join("bin").join("python")
    }

    /// The version of the Prefect client in it, if it is there to hold one.
    pub(crate) fn client_version(&self) -> Option<&str> {
        self.name.strip_prefix("prefect-")
    }

    fn dir(&self) -> PathBuf {
        venv_dir().join(&self.name)
    }
}

/// All environments that the tests know, ordered by name.
pub(crate) fn all() -> Result<Vec<Venv>> {
    let dir = root().join("tests").join("venvs");
    let mut venvs = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let requirements = entry?.path();
        if requirements.extension().is_some_and(|extension| extension == "txt") {
            let name = requirements.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            venvs.push(Venv { name, requirements });
        }
    }
    venvs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(venvs)
}

/// The environment with this name.
pub(crate) fn named(name: &str) -> Result<Venv> {
    let found = all()?.into_iter().find(|venv| venv.name == name);
    found.with_context(|| format!("{name} is not in tests/venvs"))
}

/// Makes those of `venvs` that are missing or stale. Two runs at once take turns.
pub(crate) fn prepare(venvs: &[Venv]) -> Result<()> {
    packages::install_missing(&[Program {
        name: "python3",
        package: "python3-venv",
        version_flag: "--version",
    }])?;
    fs::create_dir_all(venv_dir())?;
    let lock = File::create(venv_dir().join(".lock"))?;
    lock.lock().context("cannot lock target/venvs")?;

    let python = python_version()?;
    let mut stale = VecDeque::new();
    for venv in venvs {
        let stamp = stamp(venv, &python)?;
        if fs::read_to_string(stamp_path(venv)).is_ok_and(|found| found == stamp) {
            println!("{}: ready", venv.name);
        } else {
            stale.push_back((venv, stamp));
        }
    }
    let stale = Mutex::new(stale);
    let next = || stale.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..IN_PARALLEL)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some((venv, stamp)) = next() {
                        make(venv, &stamp).with_context(|| format!("cannot make {}", venv.name))?;
                    }
                    Ok(())
                })
            })
            .collect();
        makers.into_iter().try_for_each(|maker| match maker.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn make(venv: &Venv, stamp: &str) -> Result<()> {
    println!("{}: installing", venv.name);
    let started = Instant::now();
    let dir = venv.dir();
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    quietly(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
    quietly(
        Command::new(venv.python())
            .args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet"])
            .args(["--requirement".as_ref(), venv.requirements.as_os_str()]),
    )?;
    fs::write(stamp_path(venv), stamp)?;
    println!("{}: ready after {:.0} s", venv.name, started.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a command whose output matters only if it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!(
            "{}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn stamp(venv: &Venv, python: &str) -> Result<String> {
    let requirements = fs::read_to_string(&venv.requirements)
        .with_context(|| format!("cannot read {}", venv.requirements.display()))?;
    Ok(format!("# {python}\n{requirements}"))
}

fn stamp_path(venv: &Venv) -> PathBuf {
    venv.dir().join("made-from.txt")
}

fn python_version() -> Result<String> {
    let output = Command::new("python3").arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The environments that hold a Prefect client of one of `versions`, or of any if there are none.
pub(crate) fn with_clients(venvs: &[Venv], versions: &[String]) -> Result<Vec<Venv>> {
    let known: Vec<_> = venvs.iter().filter_map(Venv::client_version).collect();
    if let Some(unknown) = versions.iter().find(|version| !known.contains(&version.as_str())) {
        bail!("no Prefect client {unknown} in tests/venvs; there are {}", known.join(", "));
    }
    let wanted = |version: &str| versions.is_empty() || versions.iter().any(|v| v == version);
    Ok(venvs.iter().filter(|venv| venv.client_version().is_some_and(wanted)).cloned().collect())
}
