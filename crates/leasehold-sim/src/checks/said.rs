//! What was said about limits that move between two servers, and what may have been true of it at a
//! time.

use crate::history::{Exchange, History};
use crate::wire::Request;

/// What was said about one limit.
pub(super) struct Moves<'a>(Vec<&'a Exchange>);

impl<'a> Moves<'a> {
    pub(super) fn of(history: &'a History, name: &str) -> Self {
        let of = |exchange: &&Exchange| match &exchange.request {
            Request::Adopt { name: of, .. }
            | Request::SetForeign { name: of, .. }
            | Request::SetReturning { name: of, .. } => of == name,
            _ => false,
        };
        Self(history.exchanges.iter().filter(of).collect())
    }

    /// How many slots another server certainly counted at any time from `from` to `to`.
    pub(super) fn least_foreign(&self, from: u64, to: u64) -> u64 {
        self.possible(from, to, foreign).into_iter().min().unwrap_or(0)
    }

    pub(super) fn is_certainly_returning(&self, from: u64, to: u64) -> bool {
        self.possible(from, to, returning).into_iter().all(|is_returning| is_returning)
    }

    pub(super) fn possible<T: Default>(
        &self,
        from: u64,
        to: u64,
        value: impl Fn(&Request) -> Option<T>,
    ) -> Vec<T> {
        possible(self.0.iter().copied(), from, to, value)
    }
}

pub(super) fn foreign(request: &Request) -> Option<u64> {
    match request {
        Request::Adopt { foreign, .. } => Some(*foreign),
        Request::SetForeign { slots, .. } => Some(*slots),
        _ => None,
    }
}

pub(super) fn returning(request: &Request) -> Option<bool> {
    match request {
        Request::SetReturning { is_returning, .. } => Some(*is_returning),
        _ => None,
    }
}

/// The values that something may have had at any time from `from` to `to`: those that were set and
/// that no later one certainly replaced before. At first it has the default.
pub(super) fn possible<'a, T: Default>(
    exchanges: impl IntoIterator<Item = &'a Exchange>,
    from: u64,
    to: u64,
    value: impl Fn(&Request) -> Option<T>,
) -> Vec<T> {
    let sent = exchanges.into_iter().filter(|exchange| exchange.sent <= to);
    let set: Vec<_> =
        sent.filter_map(|it| Some((it.sent, it.quiet, it.done(), value(&it.request)?))).collect();
    let replaced = |quiet: u64| {
        let by = |sent: u64, done: Option<u64>| sent > quiet && done.is_some_and(|at| at <= from);
        set.iter().any(|(sent, _, done, _)| by(*sent, *done))
    };
    let kept: Vec<_> = set.iter().map(|(_, quiet, ..)| !replaced(*quiet)).collect();
    let first = (!replaced(0)).then(T::default);
    let set = set.into_iter().zip(kept).filter(|(_, is_kept)| *is_kept);
    first.into_iter().chain(set.map(|((.., value), _)| value)).collect()
}
