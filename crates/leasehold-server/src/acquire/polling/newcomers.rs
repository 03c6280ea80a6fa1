//! Clients that keep cookies and send none: each should be new. If many such clients come in a row,
//! and none comes back with the cookie that it got, their cookies get lost on the way. Unless its
//! sleep grew, such a client would come back at once, again and again.

use std::collections::HashMap;

use leasehold_engine::Timestamp;

use super::{Key, PLACE_TTL};

/// How many newcomers in a row are asked to come back at once. Beyond, the longest sleep doubles
/// each time that their number has doubled.
const AT_ONCE_MAX: u32 = 16;
/// From this many newcomers in a row on, their cookies count as lost.
const LOST_FROM: u32 = 256;
/// How many looks of clients are remembered.
const LOOKS_MAX: usize = 10_000;

/// The newcomers of each look, since one of them came back.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    by_look: HashMap<Key, (u32, Timestamp)>,
}

impl Newcomers {
    /// Counts a newcomer. Returns what the newcomers before it show.
    pub(super) fn comes(&mut self, look: Key, now: Timestamp) -> Newcomer {
        if self.by_look.len() >= LOOKS_MAX && !self.by_look.contains_key(&look) {
            self.by_look.retain(|_, (_, last)| now < *last + PLACE_TTL);
            if self.by_look.len() >= LOOKS_MAX {
                self.by_look.clear();
            }
        }
        let (count, last) = self.by_look.entry(look).or_insert((0, now));
        if now >= *last + PLACE_TTL {
            *count = 0;
        }
        (*count, *last) = (count.saturating_add(1), now);
        let early = (*count / AT_ONCE_MAX).checked_ilog2().map_or(0, |doubled| doubled + 1);
        Newcomer { early, are_cookies_lost: *count >= LOST_FROM }
    }

    /// Forgets the newcomers of a look: one of them came back with its cookie.
    pub(super) fn came_back(&mut self, look: Key) {
        self.by_look.remove(&look);
    }
}

/// What the newcomers before it show of a newcomer: how often its longest sleep is doubled, and
/// whether cookies get lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Newcomer {
    pub(super) early: u32,
    pub(super) are_cookies_lost: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn newcomers_sleep_longer_the_more_of_them_never_came_back() {
        let mut newcomers = Newcomers::default();
        let mut early = Vec::new();
        for nth in 1..=1024 {
            let newcomer = newcomers.comes(7, at(nth));
            assert_eq!(newcomer.are_cookies_lost, nth >= 256);
            if early.last().is_none_or(|(_, known)| *known != newcomer.early) {
                early.push((nth, newcomer.early));
            }
        }
        assert_eq!(
            early,
            [(1, 0), (16, 1), (32, 2), (64, 3), (128, 4), (256, 5), (512, 6), (1024, 7)]
        );
        assert_eq!(newcomers.comes(8, at(1024)), Newcomer::default());
    }

    #[test]
    fn one_client_that_comes_back_clears_all_newcomers_that_look_like_it() {
        let mut newcomers = Newcomers::default();
        for _ in 0..500 {
            newcomers.comes(7, at(0));
        }
        newcomers.came_back(7);
        assert_eq!(newcomers.comes(7, at(1)), Newcomer::default());
    }

    #[test]
    fn newcomers_of_long_ago_do_not_count() {
        let mut newcomers = Newcomers::default();
        for _ in 0..500 {
            newcomers.comes(7, at(0));
        }
        assert_eq!(newcomers.comes(7, at(0) + PLACE_TTL), Newcomer::default());
    }

    #[test]
    fn remembered_looks_are_bounded() {
        let mut newcomers = Newcomers::default();
        for look in 0..30_000 {
            newcomers.comes(look, at(0));
        }
        assert!(newcomers.by_look.len() <= LOOKS_MAX);
    }
}
