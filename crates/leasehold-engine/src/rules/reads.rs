//! Queries. They change nothing.

use std::ops::Bound;
use std::sync::Arc;

use crate::holder::Holder;
use crate::lease::{Lease, LeaseId};
use crate::ledger::{Ledger, LimitEntry};
use crate::limit::{LimitId, MinimalLimit, TAG_PREFIX};
use crate::outcome::Outcome;
use crate::query::{LeaseFilter, LimitRef, Page, Query, Scope};
use crate::queue::Line;
use crate::view::{HeldView, LeaseView, LimitView};

impl Ledger {
    pub(crate) fn read(&self, query: Query) -> Outcome {
        match query {
            Query::Limit(limit, scope) => {
                Outcome::Limit(self.find(&limit, scope).and_then(|id| self.view(id, scope)))
            }
            Query::Limits(scope, page) => Outcome::Limits(self.page(scope, page)),
            Query::Leases(limit, page) => {
                Outcome::Leases(self.entry_of(&limit).map(|entry| self.leases_in(entry, page)))
            }
            Query::Held(limit, page) => {
                Outcome::Held(self.entry_of(&limit).map(|entry| self.held(entry, page)))
            }
            Query::FindLeases(filter, page) => Outcome::Leases(self.find_leases(&filter, page)),
            Query::Waiters(limit, page) => Outcome::Waiters(
                self.find(&limit, Scope::All)
                    .map(|id| self.waiters_for(id).skip(page.offset).take(page.limit).collect()),
            ),
            Query::Near(names) => Outcome::Near(self.near(names)),
            Query::Holders => Outcome::Holders(self.holders().cloned().collect()),
            Query::Lease(id) => Outcome::Lease(
                self.lease(id).map(|lease| self.lease_view(lease)).ok_or_else(|| self.gone(id)),
            ),
        }
    }

    fn entry_of(&self, limit: &LimitRef) -> Option<&LimitEntry> {
        self.limits.get(&self.find(limit, Scope::All)?)
    }

    fn leases_in(&self, entry: &LimitEntry, page: Page) -> Vec<LeaseView> {
        let ids = entry.leases.values().skip(page.offset).take(page.limit);
        ids.filter_map(|id| self.lease(*id)).map(|lease| self.lease_view(lease)).collect()
    }

    fn held(&self, entry: &LimitEntry, page: Page) -> HeldView {
        let leases = self.leases_in(entry, page);
        let unleased = entry.unleased(self.now);
        let skipped = page.offset.saturating_sub(entry.leases.len());
        let parts = unleased.parts().iter().skip(skipped).take(page.limit - leases.len());
        let parts: Vec<_> = parts.copied().collect();
        let before = entry.leases.len() + unleased.parts().len();
        let is_on_page = page.offset <= before && leases.len() + parts.len() < page.limit;
        HeldView {
            limit: MinimalLimit::from(&entry.limit),
            decay: entry.limit.decay,
            unleased: parts,
            leases,
            foreign: if is_on_page { entry.limit.foreign } else { 0 },
        }
    }

    pub(crate) fn view(&self, id: LimitId, scope: Scope) -> Option<LimitView> {
        let entry = self.limits.get(&id)?;
        let holders = match scope {
            Scope::All => Vec::new(),
            Scope::Tags => {
                let leases = entry.leases.values().filter_map(|id| self.lease(*id));
                leases.filter_map(|lease| lease.holder.clone()).collect()
            }
        };
        let taken = entry.occupied(self.now).slots_taken();
        let unleased = entry.unleased(self.now);
        let line = self.queue.line(id);
        let waiter = line.and_then(Line::oldest).and_then(|ticket| self.queue.waiter(ticket));
        let lease = entry.leases.values().next().and_then(|id| self.lease(*id));
        Some(LimitView {
            limit: entry.limit.clone(),
            taken,
            unleased,
            oldest_lease: lease.map(|lease| lease.created),
            waiting: line.map_or(0, Line::len),
            oldest_waiter: waiter.map(|waiter| waiter.since),
            holders,
        })
    }

    /// The page is cut from the limits of the scope, not the other way round (contract C3).
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

    /// The leases that match, oldest first. `None` if the filter names no limit that exists.
    /// Searches by the narrowest condition.
    fn find_leases(&self, filter: &LeaseFilter, page: Page) -> Option<Vec<LeaseView>> {
        let LeaseFilter { limit, holder_kind, holder_id } = filter;
        let entry = match limit {
            Some(name) => Some(self.limits.get(self.names.get(name)?)?),
            None => None,
        };
        let candidates: Box<dyn Iterator<Item = LeaseId>> = match (holder_id, holder_kind, entry) {
            (Some(id), _, _) => Box::new(self.leases_of_any(id).into_iter()),
            (None, Some(kind), Some(entry)) if entry.leases.len() > self.by_age.count_of(kind) => {
                Box::new(self.by_age.of_kind(kind))
            }
            (None, _, Some(entry)) => Box::new(entry.leases.values().copied()),
            (None, Some(kind), None) => Box::new(self.by_age.of_kind(kind)),
            (None, None, None) => Box::new(self.by_age.all()),
        };
        let matches = |lease: &&Lease| {
            entry.is_none_or(|entry| entry.leases.contains_key(&lease.fence))
                && holder_kind.as_ref().is_none_or(|kind| {
                    lease.holder.as_ref().is_some_and(|holder| holder.kind == *kind)
                })
        };
        let leases = candidates.filter_map(|id| self.lease(id)).filter(matches);
        Some(leases.skip(page.offset).take(page.limit).map(|l| self.lease_view(l)).collect())
    }

    /// The leases of the holders with this id, of any kind, oldest first.
    fn leases_of_any(&self, id: &Arc<str>) -> Vec<LeaseId> {
        let holders = self.by_age.kinds().map(|kind| Holder::new(kind.clone(), id.clone()));
        let mut leases: Vec<_> = holders
            .flat_map(|holder| self.leases_of(&holder))
            .filter_map(|id| Some((self.lease(*id)?.fence, *id)))
            .collect();
        leases.sort_unstable();
        leases.into_iter().map(|(_, id)| id).collect()
    }

    /// Of names that no limit has, those that equal a limit's apart from the prefix of tags or from
    /// upper and lower case. Each with the limit's name.
    fn near(&self, names: Vec<Arc<str>>) -> Vec<(Arc<str>, Arc<str>)> {
        let near = names.into_iter().map(|name| (self.twin(&name), name));
        near.filter_map(|(twin, name)| Some((name, twin?))).collect()
    }

    fn twin(&self, name: &str) -> Option<Arc<str>> {
        if self.names.contains_key(name) {
            return None;
        }
        let exact = match name.strip_prefix(TAG_PREFIX) {
            Some(bare) => self.names.get_key_value(bare),
            None => self.names.get_key_value(&*format!("{TAG_PREFIX}{name}")),
        };
        let folded = bare(name).to_lowercase();
        let is_alike =
            |known: &str| bare(known).chars().flat_map(char::to_lowercase).eq(folded.chars());
        let alike = || self.names.keys().find(|known| is_alike(known)).cloned();
        exact.map(|(name, _)| name.clone()).or_else(alike)
    }

    pub(crate) fn lease_view(&self, lease: &Lease) -> LeaseView {
        let names = lease.holdings.iter().filter_map(|held| self.limits.get(&held.limit));
        LeaseView {
            lease: lease.clone(),
            names: names.map(|entry| entry.limit.name.clone()).collect(),
        }
    }
}

/// A limit's name without the prefix of tags.
fn bare(name: &str) -> &str {
    name.strip_prefix(TAG_PREFIX).unwrap_or(name)
}
