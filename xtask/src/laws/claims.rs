//! Two laws about pages. `docs/defects.md` has a row for each defect that code and tests cite by
//! number, and each test that it names exists in the file that it names. Files and types that
//! `ARCHITECTURE.md` names exist.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};

use super::Breach;
use super::source::{Kind, Source};
use crate::environment::root;

const PAGE: &str = "docs/defects.md";
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Checks both pages, and that each number in the sources is on the page of defects.
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
    let architecture = fs::read_to_string(root().join(ARCHITECTURE)).context(ARCHITECTURE)?;
    breaches.extend(check_names(&architecture, sources));
    Ok(breaches)
}

/// Checks that each file and each type that a page names in backticks is there.
fn check_names(page: &str, sources: &[Source]) -> Vec<Breach> {
    let idents: BTreeSet<_> = sources
        .iter()
        .flat_map(|source| &source.tokens)
        .filter(|token| token.kind == Kind::Ident)
        .map(|token| token.text.as_str())
        .collect();
    let is_there = |name: &str| match name.ends_with(".rs") {
        true => sources.iter().any(|source| source.path.ends_with(&format!("/{name}"))),
        false => name.split("::").all(|part| idents.contains(part)),
    };
    let is_type = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.contains(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == ':' || c == '_')
    };
    let mut breaches = Vec::new();
    for (at, line) in page.lines().enumerate() {
        let named = line.split('`').skip(1).step_by(2);
        for name in named.filter(|name| (name.ends_with(".rs") || is_type(name)) && !is_there(name))
        {
            let place = format!("{ARCHITECTURE}:{}", at + 1);
            let why = format!("`{name}` does not exist: name what is there now");
            breaches.push(Breach { law: "architecture", place, why });
        }
    }
    breaches
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
    fn a_file_or_a_type_that_is_gone_is_found() {
        let text = "pub struct Desk; impl Desk { fn wake() {} }".to_owned();
        let sources = [Source::new("crates/a/src/desk.rs", text).unwrap()];
        let page =
            "`desk.rs` has the `Desk`: `Desk::wake`.\n`Coordinator`, `inbox.rs`, `TEXT`, `a b`";
        let whys = check_names(page, &sources).into_iter().map(|it| (it.place, it.why));
        let gone = |name: &str| {
            let why = format!("`{name}` does not exist: name what is there now");
            ("ARCHITECTURE.md:2".to_owned(), why)
        };
        assert_eq!(whys.collect::<Vec<_>>(), [gone("Coordinator"), gone("inbox.rs")]);
    }

    #[test]
    fn numbers_of_defects_are_cited_alone() {
        assert_eq!(cited("defect D07, D28: CD07 D7 D123").collect::<Vec<_>>(), ["D07", "D28"]);
    }
}
