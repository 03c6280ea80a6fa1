//! The checkers: they know what was observed and what was promised, and share no code with the
//! engine.

mod admission;
mod answers;
mod fences;
mod gone;
mod keys;
mod leaks;
mod line;
mod lives;
mod moves;
mod pauses;
mod pictures;
mod promises;
mod rates;
mod said;

use self::lives::{Life, lives};
use crate::history::History;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// When it became visible.
    pub(crate) at: u64,
    pub(crate) what: String,
}

/// What is known of a run: its history, and the lives of the leases in it.
struct Evidence<'a> {
    history: &'a History,
    lives: Vec<Life>,
}

/// Every broken promise, sorted by when it became visible.
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
        moves::check,
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
