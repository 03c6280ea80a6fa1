//! What can be seen of a ledger. Looking changes nothing.

use std::ops::Bound;

use crate::command::{Page, Query, Scope};
use crate::lease::Lease;
use crate::ledger::Ledger;
use crate::limit::{LimitId, TAG_PREFIX};
use crate::outcome::{LeaseView, LimitView, Outcome};

impl Ledger {
    pub(crate) fn read(&self, query: Query) -> Outcome {
        match query {
            Query::Limit(limit, scope) => {
                Outcome::Limit(self.find(&limit, scope).and_then(|id| self.view(id, scope)))
            }
            Query::Limits(scope, page) => Outcome::Limits(self.page(scope, page)),
            Query::Leases(limit, page) => Outcome::Leases(
                self.find(&limit, Scope::All).and_then(|id| self.rooms.get(&id)).map(|room| {
                    let ids = room.leases.values().skip(page.offset).take(page.limit);
                    ids.filter_map(|id| self.lease(*id)).map(|l| self.lease_view(l)).collect()
                }),
            ),
            Query::Waiters(limit, page) => Outcome::Waiters(
                self.find(&limit, Scope::All)
                    .map(|id| self.waiters_for(id).skip(page.offset).take(page.limit).collect()),
            ),
            Query::Holders => Outcome::Holders(self.holders().cloned().collect()),
            Query::Lease(id) => Outcome::Lease(
                self.lease(id).map(|lease| self.lease_view(lease)).ok_or_else(|| self.gone(id)),
            ),
        }
    }

    pub(crate) fn view(&self, id: LimitId, scope: Scope) -> Option<LimitView> {
        let room = self.rooms.get(&id)?;
        let holders = match scope {
            Scope::All => Vec::new(),
            Scope::Tags => {
                let leases = room.leases.values().filter_map(|id| self.lease(*id));
                leases.filter_map(|lease| lease.holder.clone()).collect()
            }
        };
        let taken = room.occupied(self.now).slots_taken();
        Some(LimitView { limit: room.limit.clone(), taken, holders })
    }

    /// Those of the scope are picked first, and the page is cut from them (contract C3).
    fn page(&self, scope: Scope, page: Page) -> Vec<LimitView> {
        let from = match scope {
            Scope::All => "",
            Scope::Tags => TAG_PREFIX,
        };
        self.names
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(from))
            .skip(page.offset)
            .take(page.limit)
            .filter_map(|(_, id)| self.view(*id, scope))
            .collect()
    }

    fn lease_view(&self, lease: &Lease) -> LeaseView {
        let names = lease.holdings.iter().filter_map(|held| self.rooms.get(&held.limit));
        LeaseView {
            lease: lease.clone(),
            names: names.map(|room| room.limit.name.clone()).collect(),
        }
    }
}
