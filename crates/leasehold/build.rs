//! Tells the program from which commit it is built: `LEASEHOLD_BUILD_COMMIT` if a packager sets it,
//! else the checkout's. Without git or outside of a checkout, as from a tarball, it is not known.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LEASEHOLD_BUILD_COMMIT");
    let given = env::var("LEASEHOLD_BUILD_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(of_checkout).unwrap_or_else(|| "unknown".to_owned());
    // `cargo run` hands it on to the program, for which `LEASEHOLD_…` names an option.
    println!("cargo::rustc-env=BUILD_COMMIT={commit}");
}

fn of_checkout() -> Option<String> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().ok()?;
    // An unpacked tarball may lie within somebody else's checkout.
    if Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()? != ours {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // A checkout changes HEAD, and a commit the branch that HEAD names. A file that is not there
    // would make cargo build this program each time.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some(commit)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
