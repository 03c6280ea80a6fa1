//! `cargo xtask clients-newest`: whether PyPI has a newer Prefect than the tests run with.
//!
//! Not a part of CI: a release of another project must not fail our build.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::venvs;

/// Compares the newest client of `tests/venvs` with the newest release on PyPI.
pub(crate) fn check() -> Result<()> {
    let all = venvs::all()?;
    let tested = all.iter().filter_map(|venv| version(venv.client_version()?)).max();
    let tested = tested.context("tests/venvs has no Prefect client")?;
    let output = Command::new("python3")
        .args(["-m", "pip", "index", "versions", "--disable-pip-version-check", "prefect"])
        .output()
        .context("cannot start python3")?;
    if !output.status.success() {
        bail!("pip cannot ask PyPI: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let answer = String::from_utf8_lossy(&output.stdout);
    let newest = newest(&answer).with_context(|| format!("pip named no release: {answer}"))?;
    if newest > tested {
        bail!(
            "Prefect {} is released, and the newest client that is tested is {}: \
             see CONTRIBUTING.md for how to add it",
            dotted(newest),
            dotted(tested)
        );
    }
    println!("Prefect {} is the newest release, and is tested", dotted(tested));
    Ok(())
}

/// The release in the first line of pip's answer, `prefect (3.9.1)`.
fn newest(answer: &str) -> Option<[u64; 3]> {
    let (_, rest) = answer.lines().next()?.split_once('(')?;
    version(rest.split_once(')')?.0)
}

fn version(text: &str) -> Option<[u64; 3]> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

fn dotted([major, minor, patch]: [u64; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn pip_names_the_newest_release_first() {
        let answer = "prefect (3.10.2)\nAvailable versions: 3.10.2, 3.10.1, 3.9.1\n";
        assert_eq!(newest(answer), Some([3, 10, 2]));
        assert_eq!(newest("ERROR: No matching distribution found"), None);
    }
}
