//! A law: imports and derives stand in one order, so that a change shows what changed.
//!
//! `use` of `std`, an empty line, other crates, an empty line, `crate`, `self` and `super`. A
//! derive names the standard library's traits first, in [`DERIVES`]' order, then those of other
//! crates.

use std::cmp::Ordering;

use super::Breach;
use super::source::Source;

const DERIVES: [&str; 9] =
    ["Clone", "Copy", "Debug", "Default", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash"];

/// Checks the imports at the head of a file, and all derives.
pub(super) fn check(source: &Source) -> Vec<Breach> {
    let mut breaches = imports(source);
    for (line, names) in &source.derives {
        let ranks: Vec<_> = names
            .iter()
            .map(|name| DERIVES.iter().position(|derive| derive == name).unwrap_or(DERIVES.len()))
            .collect();
        if !ranks.is_sorted() {
            breaches.push(Breach {
                law: "derives",
                place: source.at(*line),
                why: format!("derive({}): {}, then others", names.join(", "), DERIVES.join(", ")),
            });
        }
    }
    breaches
}

/// Rustfmt orders what has no empty line within. This looks at the groups.
fn imports(source: &Source) -> Vec<Breach> {
    let children: Vec<_> = source.text.lines().filter_map(declared_module).collect();
    let mut breaches = Vec::new();
    let mut last: Option<Group> = None;
    let mut is_apart = true;
    let mut is_within = false;
    for (at, line) in source.text.lines().enumerate() {
        if is_within {
            is_within = !line.ends_with(';');
        } else if let Some(path) = line.strip_prefix("use ") {
            let root = path.split([':', ';', ' ']).next().unwrap_or_default();
            let group = if children.contains(&root) { Group::Own } else { Group::of(root) };
            let is_wrong = last.is_some_and(|last| match group.cmp(&last) {
                Ordering::Less => true,
                Ordering::Equal => is_apart && group != Group::Own,
                Ordering::Greater => !is_apart,
            });
            if is_wrong {
                breaches.push(Breach {
                    law: "imports",
                    place: source.at(at + 1),
                    why: "std, other crates, this crate: three groups in this order, with an \
                          empty line between them"
                        .to_owned(),
                });
            }
            last = Some(group);
            is_apart = false;
            is_within = !line.ends_with(';');
        } else if line.is_empty() {
            is_apart = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            last = None;
        }
    }
    breaches
}

/// The name of a module that this line declares.
fn declared_module(line: &str) -> Option<&str> {
    let (visibility, name) = line.strip_suffix(';')?.split_once("mod ")?;
    (visibility.is_empty() || visibility.starts_with("pub")).then_some(name)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Std,
    Other,
    Own,
}

impl Group {
    fn of(root: &str) -> Self {
        match root {
            "std" | "core" | "alloc" => Self::Std,
            "crate" | "self" | "super" => Self::Own,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Vec<(&'static str, String)> {
        let source = Source::new("a.rs", text.to_owned()).unwrap();
        check(&source).into_iter().map(|breach| (breach.law, breach.place)).collect()
    }

    #[test]
    fn derives_have_one_order() {
        assert!(
            broken("#[derive(Clone, Debug, PartialEq, thiserror::Error)] struct A;").is_empty()
        );
        let wrong = broken("\n#[derive(Debug, Clone)] struct A;");
        assert_eq!(wrong, [("derives", "a.rs:2".to_owned())]);
    }

    #[test]
    fn imports_stand_in_three_groups() {
        let right = "use std::fs;\n\nuse serde::{\n    A,\n};\nuse x::B;\n\nuse super::C;\n";
        assert!(broken(right).is_empty());
        assert!(broken("mod a;\n\nuse crate::B;\nuse a::C;\n\nuse self::d::E;\n").is_empty());
        assert_eq!(broken("use crate::A;\n\nuse std::fs;\n").len(), 1, "the order");
        assert_eq!(broken("use serde::A;\nuse crate::A;\n").len(), 1, "no empty line");
        assert_eq!(broken("use std::fs;\n\nuse std::io;\n").len(), 1, "one group twice");
    }
}
