//! A law: no test of the clients sleeps for a time. `waiting.py` polls for a condition, with a
//! deadline. Programs of users, which the tests start, may sleep: that is their work.

use std::fs;

use anyhow::Result;

use super::Breach;
use crate::environment::root;

const FOLDER: &str = "tests/clients";
const POLLS: &str = "waiting.py";

/// Checks the modules beside the tests, and the tests.
pub(super) fn check() -> Result<Vec<Breach>> {
    let mut breaches = Vec::new();
    for entry in fs::read_dir(root().join(FOLDER))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".py") && name != POLLS {
            breaches.extend(check_text(&name, &fs::read_to_string(&path)?));
        }
    }
    breaches.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(breaches)
}

fn check_text(name: &str, text: &str) -> Vec<Breach> {
    let sleeps = |line: &str| {
        let code = line.split('#').next().unwrap_or_default();
        code.contains(".sleep(") || code.contains("import sleep")
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| sleeps(line))
        .map(|(at, _)| Breach {
            law: "sleep",
            place: format!("{FOLDER}/{name}:{}", at + 1),
            why: format!("a test that sleeps: wait for a condition ({POLLS})"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_of_the_clients_that_sleeps_is_found() {
        let breaches = check_text("test_a.py", "import time\n# time.sleep(1)\ntime.sleep(6)\n");
        assert_eq!(breaches[0].place, "tests/clients/test_a.py:3");
        assert_eq!(breaches.len(), 1);
    }
}
