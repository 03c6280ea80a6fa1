//! The files of a crate as its modules, and which file names which.

use std::collections::{BTreeMap, HashMap};

use super::paths;
use super::source::Source;

/// The product's files of one crate.
pub(super) struct Tree<'a> {
    pub(super) files: Vec<File<'a>>,
    by_module: HashMap<Vec<String>, usize>,
}

/// A file that is a module.
pub(super) struct File<'a> {
    pub(super) source: &'a Source,
    /// Its path from the crate's root, which itself is empty.
    pub(super) module: Vec<String>,
    /// The files that it names, each with the first line that does.
    pub(super) names: BTreeMap<usize, usize>,
    /// What a `use` lets others name here, and what that is.
    exports: HashMap<String, Vec<String>>,
}

/// More steps through exports than any real path has.
const STEPS_MAX: usize = 16;

/// The trees of all crates.
pub(super) fn all(sources: &[Source]) -> BTreeMap<&str, Tree<'_>> {
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources {
        if let Some((name, _)) = source.path.split_once("/src/")
            && source.tokens.iter().any(|token| !token.is_test)
        {
            crates.entry(name).or_default().push(source);
        }
    }
    crates.into_iter().map(|(name, sources)| (name, Tree::new(&sources))).collect()
}

impl<'a> Tree<'a> {
    fn new(sources: &[&'a Source]) -> Self {
        let has_library = sources.iter().any(|source| source.path.ends_with("/src/lib.rs"));
        let is_other_root =
            |source: &&&Source| has_library && source.path.ends_with("/src/main.rs");
        let mut files = Vec::new();
        let mut by_module = HashMap::new();
        let mut named = Vec::new();
        for source in sources.iter().filter(|source| !is_other_root(source)) {
            let module = module_of(&source.path);
            let paths: Vec<_> =
                paths::of(source).into_iter().filter(|path| !path.is_test).collect();
            let exports = paths.iter().filter_map(|path| {
                path.exported_as.clone().map(|name| (name, path.segments.clone()))
            });
            by_module.insert(module.clone(), files.len());
            let exports = exports.collect();
            files.push(File { source, module, names: BTreeMap::new(), exports });
            named.push(paths);
        }
        let mut tree = Self { files, by_module };
        for (at, paths) in named.iter().enumerate() {
            for path in paths {
                let found = tree.resolve(&tree.files[at].module, &path.segments, STEPS_MAX);
                if let Some(other) = found.filter(|other| *other != at) {
                    tree.files[at].names.entry(other).or_insert(path.line);
                }
            }
        }
        tree
    }

    /// The file in which the thing stands that a path means within a module. `None` for what other
    /// crates have.
    fn resolve(&self, within: &[String], path: &[String], steps: usize) -> Option<usize> {
        let mut at = within.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &rest[1..];
            }
            "self" | "super" => {}
            child => {
                let mut module = at.clone();
                module.push(child.to_owned());
                self.by_module.get(&module)?;
            }
        }
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "self" => {}
                "super" => _ = at.pop(),
                name => {
                    at.push(name.to_owned());
                    if !self.by_module.contains_key(&at) {
                        at.pop();
                        let exported = self.files[*self.by_module.get(&at)?].exports.get(name);
                        if let Some(exported) = exported.filter(|_| steps > 0) {
                            let path: Vec<_> = exported.iter().chain(after).cloned().collect();
                            if let Some(found) = self.resolve(&at, &path, steps - 1) {
                                return Some(found);
                            }
                        }
                        break;
                    }
                }
            }
            rest = after;
        }
        self.by_module.get(&at).copied()
    }
}

/// `crates/a/src/b/c.rs` is the module `b::c`, and `b/mod.rs` is `b`.
fn module_of(path: &str) -> Vec<String> {
    let within = path.split_once("/src/").map_or(path, |(_, within)| within);
    let mut module: Vec<_> = within.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_through_exports_to_the_file_that_has_the_thing() {
        let files = [
            ("a/src/lib.rs", "mod b; pub use b::C;"),
            ("a/src/b.rs", "mod c; pub use self::c::C; fn f() { c::g() }"),
            ("a/src/b/c.rs", "use super::super::d::E; pub struct C;"),
            ("a/src/d/mod.rs", "use crate::C; fn e() { crate::b::f() } #[cfg(test)] use crate::x;"),
        ];
        let read = |(path, text): (&str, &str)| Source::new(path, text.to_owned()).unwrap();
        let sources = files.map(read);
        let tree = &all(&sources)["a"];
        let named = |at: usize| tree.files[at].names.keys().copied().collect::<Vec<_>>();
        assert_eq!(named(0), [2], "through what `b` exports");
        assert_eq!(named(1), [2]);
        assert_eq!(named(2), [3]);
        assert_eq!(named(3), [1, 2]);
    }
}
