//! Checkers: they know what was observed on the wire and what was promised, and share no
//! code with the engine.

mod admission;
mod answers;
mod fences;
mod gone;
mod keys;
mod leaks;
mod line;
mod lives;
mod pauses;
mod pictures;
mod promises;
mod rates;

use self::lives::{Life, lives};
use crate::history::History;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// When it showed.
    pub(crate) at: u64,
    pub(crate) what: String,
}

/// What is known of a run: what was observed, and the lives of leases that follow from it.
struct Evidence<'a> {
    history: &'a History,
    lives: Vec<Life>,
}

/// Every broken promise, the first that showed first.
pub(crate) fn violations(history: &History) -> Vec<Violation> {
    let evidence = Evidence { history, lives: lives(history) };
    let mut violations = Vec::new();
    for check in [
        admission::check,
        answers::check,
        fences::check,
        gone::check,
        keys::check,
        leaks::check,
        line::check,
        pauses::check,
        pictures::check,
        promises::check,
        rates::check,
    ] {
        check(&evidence, &mut |at, what| violations.push(Violation { at, what }));
    }
    violations.sort_by_key(|violation| violation.at);
    violations
}
