//! A law: `docs/defects.md` has a row for each defect that code and tests cite by number, and each
//! test that it names exists in the file that it names.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};

use super::Breach;
use super::source::Source;
use crate::environment::root;

const PAGE: &str = "docs/defects.md";

/// Checks the page, and that each number in the sources is on it.
pub(super) fn check(sources: &[Source]) -> Result<Vec<Breach>> {
    let page = fs::read_to_string(root().join(PAGE)).context(PAGE)?;
    let read = |path: &str| fs::read_to_string(root().join("docs").join(path)).ok();
    let mut breaches = check_page(&page, read);
    let listed: BTreeSet<_> =
        page.lines().filter_map(|line| cited(line.get(2..)?).next()).collect();
    for source in sources {
        for (at, line) in source.text.lines().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            for number in cited(comment).filter(|number| !listed.contains(number)) {
                let why = format!("{number} is not in {PAGE}: add it, with the test that holds it");
                breaches.push(Breach { law: "defects", place: source.at(at + 1), why });
            }
        }
    }
    Ok(breaches)
}

/// Checks that each row names a test, and that the file has it.
fn check_page(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (at, row) in page.lines().enumerate().filter(|(_, line)| line.starts_with("| D")) {
        let mut breach = |why: String| {
            let place = format!("{PAGE}:{}", at + 1);
            breaches.push(Breach { law: "defects", place, why });
        };
        let mut tests =
            row.split("[`").skip(1).filter_map(|rest| rest.split_once("`](")).peekable();
        if tests.peek().is_none() {
            breach("the row names no test".to_owned());
        }
        for (test, rest) in tests {
            let path = rest.split(')').next().unwrap_or_default();
            let has = |keyword: &str, text: &str| text.contains(&format!("{keyword} {test}("));
            if !read(path).is_some_and(|text| has("fn", &text) || has("def", &text)) {
                breach(format!("`{test}` is not in {path}: name the test that holds this now"));
            }
        }
    }
    breaches
}

/// The numbers of defects in a text: `D07`.
fn cited(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| {
        word.len() == 3 && word.starts_with('D') && word[1..].bytes().all(|c| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_whose_test_is_gone_is_found() {
        let page = "| D01 | a | [`d01_a`](../a.rs)<br>[`test_d01`](../a.py) |\n| D02 | b | |\n";
        let read = |path: &str| match path {
            "../a.rs" => Some("fn d01_a() {}".to_owned()),
            _ => Some("def test_d01_of_another(): ...".to_owned()),
        };
        let places: Vec<_> = check_page(page, read).into_iter().map(|it| it.why).collect();
        assert_eq!(
            places,
            [
                "`test_d01` is not in ../a.py: name the test that holds this now",
                "the row names no test"
            ]
        );
    }

    #[test]
    fn numbers_of_defects_are_cited_alone() {
        assert_eq!(cited("defect D07, D28: CD07 D7 D123").collect::<Vec<_>>(), ["D07", "D28"]);
    }
}
