//! Those in line who want the same. When the first of them cannot run, none of them can: they
//! need the same room, and for whoever came later nothing less is kept before it. So a step looks
//! at one of them, however many they are.

use std::cmp::Reverse;

use smallvec::SmallVec;

use super::{Queue, Ticket};
use crate::admission::Wanted;
use crate::command::{Acquire, Missing, Mode};
use crate::holder::Holder;
use crate::ledger::Ledger;
use crate::limit::LimitId;

/// Everything but the ticket that decides whether somebody in line can run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    /// By limit: in which order they were named makes no difference.
    slots: SmallVec<[(LimitId, u64); 1]>,
    priority: i32,
    mode: Mode,
    missing: Missing,
    /// Of whoever holds something already: what it holds, it does not need again.
    holder: Option<Holder>,
}

impl Ledger {
    pub(super) fn wish(&self, acquire: &Acquire, wanted: &[Wanted], priority: i32) -> Wish {
        let mut slots: SmallVec<_> = wanted.iter().map(|want| (want.limit, want.slots)).collect();
        slots.sort_unstable();
        let holds = |holder: &&Holder| !self.leases_of(holder).is_empty();
        let holder = acquire.hold.only_once().filter(holds).cloned();
        Wish { slots, priority, mode: acquire.mode, missing: acquire.missing, holder }
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

    /// A holder holds something from now on. What it waits for is less than others who asked for
    /// the same.
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

    /// The first of those with a wish stands for all of them in their lines, and may be another
    /// one than before.
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
