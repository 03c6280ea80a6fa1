//! Waiters that want the same. If the first of them cannot run, none of them can: they need the
//! same slots, and no fewer slots are reserved before a younger one. So a step looks at the first
//! alone.

use std::cmp::Reverse;

use smallvec::SmallVec;

use super::{Queue, Wanted};
use crate::acquire::{Acquire, Missing, Mode};
use crate::holder::Holder;
use crate::limit::LimitId;
use crate::ticket::Ticket;

/// Everything that decides whether a waiter can run, apart from its ticket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wish {
    /// Sorted by limit: the order in which a request names them makes no difference.
    slots: SmallVec<[(LimitId, u64); 1]>,
    priority: i32,
    mode: Mode,
    missing: Missing,
    /// A holder that holds something already does not need that again.
    holder: Option<Holder>,
}

impl Wish {
    /// `holder` is a holder that holds a limit only once, if it holds anything.
    pub(crate) fn new(
        acquire: &Acquire,
        wanted: &[Wanted],
        priority: i32,
        holder: Option<Holder>,
    ) -> Self {
        let mut slots: SmallVec<_> = wanted.iter().map(|want| (want.limit, want.slots)).collect();
        slots.sort_unstable();
        Self { slots, priority, mode: acquire.mode, missing: acquire.missing, holder }
    }
}

impl Queue {
    pub(super) fn add_alike(&mut self, wish: &Wish, ticket: Ticket) {
        let before = self.alike.first(wish);
        self.alike.insert(wish.clone(), ticket);
        self.put_first(wish, before);
    }

    pub(super) fn remove_alike(&mut self, wish: &Wish, ticket: Ticket) {
        let before = self.alike.first(wish);
        self.alike.remove(wish, ticket);
        self.put_first(wish, before);
    }

    /// A holder was granted a lease. From now on its waiters may want less than others that asked
    /// for the same.
    pub(crate) fn set_apart(&mut self, holder: &Holder) {
        let tickets: SmallVec<[Ticket; 1]> = self.of_holder.group(holder).collect();
        for ticket in tickets {
            let Some(waiter) = self.waiters.get_mut(&ticket) else { continue };
            let apart = Wish { holder: Some(holder.clone()), ..waiter.wish.clone() };
            let wish = std::mem::replace(&mut waiter.wish, apart.clone());
            self.remove_alike(&wish, ticket);
            self.add_alike(&apart, ticket);
        }
    }

    /// Puts the first waiter with a wish into `firsts` of its lines, in place of `before`.
    fn put_first(&mut self, wish: &Wish, before: Option<Ticket>) {
        let first = self.alike.first(wish);
        if first == before {
            return;
        }
        let place = |ticket| (Reverse(wish.priority), ticket);
        for (limit, _) in &wish.slots {
            let Some(line) = self.lines.get_mut(limit) else { continue };
            if let Some(before) = before {
                line.firsts.remove(&place(before));
            }
            line.firsts.extend(first.map(place));
        }
    }
}
