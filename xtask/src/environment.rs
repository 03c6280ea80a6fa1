//! Where things are: the workspace, what is built, and the tools that may be installed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace's root, whatever directory we were started in.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Where the tests find the Python environments: one directory for each file of `tests/venvs`.
pub(crate) fn venv_dir() -> PathBuf {
    target_dir().join("venvs")
}

/// The program under test, as the dev profile builds it.
pub(crate) fn binary() -> PathBuf {
    target_dir().join("debug").join("leasehold").with_extension(env::consts::EXE_EXTENSION)
}

/// `cargo` in the workspace's root, with the toolchain that runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Whether cargo has the subcommand `name`.
pub(crate) fn has_cargo_subcommand(name: &str) -> bool {
    answers(cargo(&[name, "--version"]))
}

/// Whether `program` can be started.
pub(crate) fn has_program(program: &str) -> bool {
    has_program_with(program, "--version")
}

/// Whether `program` can be started with a flag with which it ends.
pub(crate) fn has_program_with(program: &str, flag: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(flag);
    answers(command)
}

fn answers(mut command: Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
