//! Which lines are to be looked at, when, and which waiter is next in one.

use std::cmp::Reverse;
use std::ops::Bound::{Excluded, Unbounded};

use super::Queue;
use crate::limit::LimitId;
use crate::ticket::Ticket;
use crate::time::Timestamp;

impl Queue {
    /// A limit changed: a waiter in its line may be able to run.
    pub(crate) fn touch(&mut self, limit: LimitId) {
        if self.lines.contains_key(&limit) && !self.touched.contains(&limit) {
            self.touched.push(limit);
        }
    }

    /// The next time at which something happens by itself.
    pub(crate) fn next_wake_up(&self) -> Option<Timestamp> {
        let patience = self.patience.first().map(|(at, _)| *at);
        let absence = self.absentees.next_end();
        patience.into_iter().chain(absence).chain(self.first_alarm()).min()
    }

    /// When a rate limit will have drained enough for a waiter in its line.
    pub(crate) fn first_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// When the line of a limit is to be looked at again, if its limit has drained enough by then.
    pub(crate) fn set_alarm(&mut self, limit: LimitId, alarm: Option<Timestamp>) {
        let Some(line) = self.lines.get_mut(&limit) else { return };
        if let Some(old) = std::mem::replace(&mut line.alarm, alarm) {
            self.alarms.remove(&(old, limit));
        }
        if let Some(at) = alarm {
            self.alarms.insert((at, limit));
        }
    }

    /// The next limit whose line is to be looked at by `now`.
    pub(crate) fn next_touched(&mut self, now: Timestamp) -> Option<LimitId> {
        if let Some(limit) = self.touched.pop() {
            return Some(limit);
        }
        let &(at, limit) = self.alarms.first().filter(|(at, _)| *at <= now)?;
        self.alarms.remove(&(at, limit));
        if let Some(line) = self.lines.get_mut(&limit) {
            line.alarm = None;
        }
        Some(limit)
    }

    /// The next waiter in a line after `last`, among the first ones of those that want the same;
    /// none younger than `youngest`.
    pub(crate) fn next_in_line(
        &self,
        limit: LimitId,
        last: Option<(Reverse<i32>, Ticket)>,
        youngest: Option<Ticket>,
    ) -> Option<(Reverse<i32>, Ticket)> {
        let line = self.lines.get(&limit)?;
        let mut rest = match last {
            None => line.firsts.range(..),
            Some(last) => line.firsts.range((Excluded(last), Unbounded)),
        };
        match youngest {
            None => rest.next().copied(),
            Some(youngest) => rest.find(|(_, ticket)| *ticket <= youngest).copied(),
        }
    }
}
