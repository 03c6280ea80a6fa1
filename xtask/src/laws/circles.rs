//! A law: the files of a crate name each other in no circle, but for a module and its parent. A
//! circle has no lowest file: a reader who starts anywhere has to know all of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Breach;
use super::source::Source;
use super::tree::{self, Tree};

/// Checks all crates. Of files that all lead to each other, the shortest circle is shown.
pub(super) fn check(sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for tree in tree::all(sources).values() {
        for circle in circles(tree) {
            let place = tree.files[circle[0]].source;
            let line = tree.files[circle[0]].names[&circle[1 % circle.len()]];
            let names: Vec<_> =
                circle.iter().map(|at| short(&tree.files[*at].source.path)).collect();
            breaches.push(Breach {
                law: "circles",
                place: place.at(line),
                why: format!(
                    "{} → {}: move what both need below both",
                    names.join(" → "),
                    names[0]
                ),
            });
        }
    }
    breaches
}

fn short(path: &str) -> &str {
    path.split_once("/src/").map_or(path, |(_, within)| within)
}

/// One circle for each set of files that lead to each other.
fn circles(tree: &Tree<'_>) -> Vec<Vec<usize>> {
    let is_parent = |a: usize, b: usize| {
        let (a, b) = (&tree.files[a].module, &tree.files[b].module);
        a.len() + 1 == b.len() && b.starts_with(a)
    };
    let names = |from: usize| {
        let named = tree.files[from].names.keys().copied();
        named.filter(move |to| !is_parent(from, *to) && !is_parent(*to, from))
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut starts: Vec<_> = (0..tree.files.len()).filter_map(|at| shortest(at, names)).collect();
    starts.sort_by_key(Vec::len);
    for circle in starts {
        if circle.iter().all(|at| !seen.contains(at)) {
            seen.extend(circle.iter().copied());
            found.push(circle);
        }
    }
    found
}

/// The shortest way from a file back to itself.
fn shortest<I: Iterator<Item = usize>>(
    start: usize,
    names: impl Fn(usize) -> I,
) -> Option<Vec<usize>> {
    let mut before = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in names(at) {
            if next == start {
                let mut circle = vec![at];
                while let Some(previous) = before.get(&circle[circle.len() - 1]) {
                    circle.push(*previous);
                }
                circle.reverse();
                return Some(circle);
            }
            before.entry(next).or_insert_with(|| {
                queue.push_back(next);
                at
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(files: &[(&str, &str)]) -> Vec<String> {
        let read = |(path, text): &(&str, &str)| Source::new(path, (*text).to_owned()).unwrap();
        let sources: Vec<_> = files.iter().map(read).collect();
        check(&sources).into_iter().map(|breach| breach.why).collect()
    }

    #[test]
    fn a_circle_of_three_files_is_found() {
        let circle = [
            ("a/src/lib.rs", "mod b; mod c; mod d;"),
            ("a/src/b.rs", "use crate::c::C;"),
            ("a/src/c.rs", "use crate::d::D;"),
            ("a/src/d.rs", "fn e() { crate::b::f() }"),
        ];
        let why = broken(&circle);
        assert_eq!(why, ["b.rs → c.rs → d.rs → b.rs: move what both need below both"]);
    }

    #[test]
    fn a_module_and_its_parent_may_name_each_other() {
        let pair = [
            ("a/src/lib.rs", "mod b; use b::B; struct A;"),
            ("a/src/b.rs", "use crate::A; mod c;"),
            ("a/src/b/c.rs", "use super::B;"),
        ];
        assert!(broken(&pair).is_empty());
    }
}
