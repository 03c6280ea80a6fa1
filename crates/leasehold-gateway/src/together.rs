//! Which limits are asked for together.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// How many names are remembered. Later ones are not: they can still be advanced by name.
const NAMES_MAX: usize = 10_000;

/// Which limits were seen in one request. They should move together: a request over both sides
/// costs two grants.
#[derive(Debug, Default)]
pub struct Together {
    beside: FxHashMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Together {
    /// A request named these limits.
    pub fn note(&mut self, names: &[Arc<str>]) {
        if names.len() < 2 || self.beside.len() >= NAMES_MAX {
            return;
        }
        for name in names {
            let others = names.iter().filter(|other| *other != name).cloned();
            self.beside.entry(name.clone()).or_default().extend(others);
        }
    }

    /// The limits that were asked for together with this one, directly or over others.
    pub fn group(&self, name: &str) -> BTreeSet<Arc<str>> {
        let mut found = BTreeSet::new();
        let mut next: Vec<Arc<str>> = vec![name.into()];
        while let Some(name) = next.pop() {
            if let Some(beside) = self.beside.get(&name) {
                next.extend(beside.iter().filter(|other| !found.contains(*other)).cloned());
            }
            found.insert(name);
        }
        found.remove(name);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_one_request_are_one_group_and_so_are_their_neighbours() {
        let mut together = Together::default();
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>();
        together.note(&names(&["a", "b"]));
        together.note(&names(&["b", "c"]));
        together.note(&names(&["d"]));
        assert_eq!(together.group("a").into_iter().collect::<Vec<_>>(), names(&["b", "c"]));
        assert!(together.group("d").is_empty());
    }
}
