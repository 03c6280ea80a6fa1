//! A naive ledger: it searches lists from end to end, drains levels whenever time passes, and
//! stores nothing that it can compute. It shares no code with the engine apart from the commands,
//! and answers in sentences that are compared.

mod acquire;
mod limit;

use leasehold_engine::{
    Adopt, Command, Holder, LeaseFilter, LimitPatch, LimitRef, Notes, Page, Query, Scope, Span,
};

use limit::{By, Limit, SLOT};

#[derive(Default)]
pub(super) struct Model {
    now: i128,
    limits: Vec<Limit>,
    /// Oldest first.
    leases: Vec<Lease>,
    endings: Vec<(u128, String)>,
    fences: u64,
}

struct Lease {
    id: u128,
    fence: u64,
    holder: Option<String>,
    deadline: Option<i128>,
    holdings: Vec<Held>,
    notes: Option<Notes>,
    partners: Vec<u128>,
}

#[derive(Clone)]
struct Held {
    limit: u128,
    slots: i128,
    level: i128,
}

impl Model {
    pub(super) fn new(now: i64) -> Self {
        Self { now: now.into(), ..Self::default() }
    }

    /// The slots taken of each limit by name, with the ids of its leases.
    pub(super) fn picture(&self) -> Vec<(String, i128, Vec<u128>)> {
        let mut picture: Vec<_> = self
            .limits
            .iter()
            .map(|limit| {
                let on = self.leases.iter().filter(|lease| lease.held(limit.id).is_some());
                let taken = (self.level(limit.id) + SLOT - 1) / SLOT;
                (limit.name.clone(), taken, on.map(|lease| lease.id).collect())
            })
            .collect();
        picture.sort();
        picture
    }

    pub(super) fn step(&mut self, command: &Command, now: i64) -> String {
        self.advance(self.now.max(now.into()));
        match command {
            Command::CreateLimit(create) => {
                if self.limits.iter().any(|l| l.id == create.id.0 || *l.name == *create.name) {
                    return "name taken".to_owned();
                }
                self.limits.push(Limit {
                    id: create.id.0,
                    name: create.name.to_string(),
                    slots: create.slots.into(),
                    active: create.active,
                    nanos_per_second: create.decay.as_units().into(),
                    unleased: vec![(By::Creation, i128::from(create.unleased) * SLOT)],
                    foreign: 0,
                    returning: false,
                });
                "made".to_owned()
            }
            Command::Adopt(adopt) => self.adopt(adopt),
            Command::SetForeign { limit, slots } => {
                self.change(limit.0, |limit| limit.foreign = i128::from(*slots))
            }
            Command::SetReturning { limit, returning } => {
                self.change(limit.0, |limit| limit.returning = *returning)
            }
            Command::Pair { lease, partners } => {
                let lease = self.leases.iter_mut().find(|known| known.id == lease.0);
                let ids = partners.iter().map(|partner| partner.0).collect();
                format!("paired {}", lease.map(|lease| lease.partners = ids).is_some())
            }
            Command::UpdateLimit { limit, patch } => self.update(limit, patch),
            Command::ResetLimit { limit, slots, reason } => {
                let Some(id) = self.find(limit, Scope::All) else {
                    return "not found".to_owned();
                };
                let foreign = self.limit(id).foreign;
                let target = (i128::from(*slots) - foreign).max(0) * SLOT;
                while self.leased(id) > target {
                    let mut holders = self.leases.iter();
                    let oldest = holders.find(|l| l.held(id).is_some_and(|h| h.level > 0));
                    let oldest = oldest.unwrap().id;
                    self.end(oldest, &format!("revoked {reason:?}"));
                }
                let leased = self.leased(id);
                let limit = self.limit(id);
                limit.lose((limit.unleased() - (target - leased)).max(0), |_| true);
                limit.gain(By::Reset, target - leased - limit.unleased());
                "done".to_owned()
            }
            Command::ResetTag { name, holders, reason } => {
                let Some(id) = self.find(&LimitRef::Name(name.clone()), Scope::Tags) else {
                    return "not found".to_owned();
                };
                self.strip(id, |_| true, &format!("revoked {reason:?}"));
                self.limit(id).unleased.clear();
                for (lease, holder) in holders {
                    let holder = holder.id.to_string();
                    if !self.holds(&holder, id) && !self.leases.iter().any(|l| l.id == lease.0) {
                        let held = Held { limit: id, slots: 1, level: SLOT };
                        self.lease_out(lease.0, Some(holder), vec![held], None);
                    }
                }
                "done".to_owned()
            }
            Command::DeleteLimit { limit, scope } => {
                let Some(id) = self.find(limit, *scope) else {
                    return "not found".to_owned();
                };
                let ends = |lease: &Lease| *scope == Scope::Tags || lease.deadline.is_none();
                self.strip(id, ends, "revoked None");
                self.limits.retain(|limit| limit.id != id);
                "done".to_owned()
            }
            Command::Acquire(acquire) => self.acquire(acquire),
            Command::GiveBack(back) => {
                let ids = self.named(back.names.iter().map(|name| &**name));
                for id in &ids {
                    let limit = self.limit(*id);
                    let slots = i128::from(back.slots) * SLOT;
                    let left = limit.lose(slots, |by| by == By::Increment);
                    let left = limit.lose(left, |by| by == By::Rate);
                    limit.lose(left, |_| true);
                }
                format!("given back on {:?}", self.names(&ids))
            }
            Command::ReleaseTags { names, holder } => {
                let tags = names.iter().map(|name| &**name).filter(|n| n.starts_with("tag:"));
                let ids = self.named(tags);
                let mut empty = Vec::new();
                for lease in &mut self.leases {
                    let before = lease.holdings.len();
                    if lease.holder.as_deref() == Some(&holder.id) {
                        lease.holdings.retain(|held| !ids.contains(&held.limit));
                    }
                    if lease.holdings.len() < before && lease.holdings.is_empty() {
                        empty.push(lease.id);
                    }
                }
                for lease in empty {
                    self.release(lease);
                }
                format!("given back on {:?}", self.names(&ids))
            }
            Command::Renew { lease, ttl } => self.renew(lease.0, *ttl),
            Command::RenewMany { leases, ttl } => {
                let renewed: Vec<_> = leases.iter().map(|id| self.renew(id.0, *ttl)).collect();
                renewed.join(", ")
            }
            Command::Release { lease } => self.release(lease.0),
            Command::Revoke { lease, reason, .. } => {
                match self.leases.iter().find(|l| l.id == lease.0).map(|lease| lease.fence) {
                    Some(fence) => {
                        self.end(lease.0, &format!("revoked {reason:?}"));
                        format!("ended {fence}")
                    }
                    None => self.gone(lease.0),
                }
            }
            Command::Repossess { holder, with_deadline, evidence } => {
                let held = |lease: &&Lease| {
                    lease.holder.as_deref() == Some(&holder.id)
                        && (*with_deadline || lease.deadline.is_none())
                };
                let ended: Vec<_> =
                    self.leases.iter().filter(held).map(|l| (l.id, l.fence)).collect();
                for (id, _) in &ended {
                    self.end(*id, &format!("repossessed {evidence:?}"));
                }
                let fences: Vec<_> = ended.iter().map(|(_, fence)| fence).collect();
                format!("repossessed {fences:?}")
            }
            Command::Read(Query::Lease(lease)) => {
                match self.leases.iter().find(|l| l.id == lease.0) {
                    Some(lease) => {
                        format!("lease {} until {:?}", lease.fence, lease.deadline)
                    }
                    None => self.gone(lease.0),
                }
            }
            Command::Read(Query::FindLeases(filter, page)) => self.find_leases(filter, *page),
            Command::Tick => "ticked".to_owned(),
            other => panic!("no part of the properties: {other:?}"),
        }
    }

    fn adopt(&mut self, adopt: &Adopt) -> String {
        let known = self.limits.iter().any(|limit| limit.id == adopt.limit.id.0);
        let done = if known {
            let patch = LimitPatch {
                name: Some(adopt.limit.name.clone()),
                slots: Some(adopt.limit.slots),
                active: Some(adopt.limit.active),
                decay: Some(adopt.limit.decay),
                ..LimitPatch::default()
            };
            self.update(&LimitRef::Id(adopt.limit.id), &patch)
        } else {
            let now = i64::try_from(self.now).unwrap();
            self.step(&Command::CreateLimit(adopt.limit.clone()), now)
        };
        if done == "name taken" {
            return done;
        }
        let here = self.leased(adopt.limit.id.0);
        let limit = self.limit(adopt.limit.id.0);
        limit.foreign = adopt.foreign.into();
        if limit.nanos_per_second > 0 {
            let level = i128::try_from(adopt.level.as_units()).unwrap();
            limit.gain(By::Rate, level - here - limit.unleased());
        }
        "made".to_owned()
    }

    fn change(&mut self, id: u128, change: impl FnOnce(&mut Limit)) -> String {
        match self.limits.iter_mut().find(|limit| limit.id == id) {
            Some(limit) => {
                change(limit);
                "done".to_owned()
            }
            None => "not found".to_owned(),
        }
    }

    fn renew(&mut self, id: u128, ttl: Span) -> String {
        let deadline = self.now + micros(ttl);
        match self.leases.iter_mut().find(|lease| lease.id == id) {
            Some(lease) => {
                lease.deadline = lease.deadline.map(|_| deadline);
                format!("renewed until {:?}", lease.deadline)
            }
            None => self.gone(id),
        }
    }

    fn release(&mut self, id: u128) -> String {
        let Some(at) = self.leases.iter().position(|lease| lease.id == id) else {
            return self.gone(id);
        };
        let lease = self.leases.remove(at);
        if lease.notes.is_some() {
            self.endings.push((id, format!("released at {}", self.now)));
        }
        format!("ended {}", lease.fence)
    }

    fn find_leases(&self, filter: &LeaseFilter, page: Page) -> String {
        let limit = match &filter.limit {
            Some(name) => match self.limits.iter().find(|limit| *limit.name == **name) {
                Some(limit) => Some(limit.id),
                None => return "not found".to_owned(),
            },
            None => None,
        };
        let mut found: Vec<_> = self.leases.iter().map(|lease| lease.fence).collect();
        found.retain(|fence| {
            let lease = self.leases.iter().find(|lease| lease.fence == *fence).unwrap();
            // All holders are task runs.
            let kind = lease.holder.as_ref().map(|_| Holder::TASK_RUN);
            limit.is_none_or(|limit| lease.held(limit).is_some())
                && filter.holder_kind.as_deref().is_none_or(|wanted| kind == Some(wanted))
                && filter.holder_id.as_deref().is_none_or(|id| lease.holder.as_deref() == Some(id))
        });
        let page: Vec<_> = found.into_iter().skip(page.offset).take(page.limit).collect();
        format!("leases {page:?}")
    }

    /// Lets time pass: slots drain, and leases end at their deadlines, in order.
    fn advance(&mut self, now: i128) {
        loop {
            let next = self.leases.iter().filter_map(|l| Some((l.deadline?, l.fence, l.id))).min();
            match next {
                Some((deadline, _, id)) if deadline <= now => {
                    self.drain(deadline.max(self.now));
                    self.end(id, "expired");
                }
                _ => break,
            }
        }
        self.drain(now);
    }

    fn drain(&mut self, now: i128) {
        for limit in &mut self.limits {
            let mut drained = limit.nanos_per_second * (now - self.now);
            drained = limit.lose(drained, |_| true);
            for held in self.leases.iter_mut().flat_map(|lease| &mut lease.holdings) {
                if held.limit == limit.id {
                    let level = held.level.min(drained);
                    held.level -= level;
                    drained -= level;
                }
            }
        }
        self.now = now;
    }

    fn update(&mut self, limit: &LimitRef, patch: &LimitPatch) -> String {
        let Some(id) = self.find(limit, Scope::All) else {
            return "not found".to_owned();
        };
        if let Some(name) = &patch.name {
            if self.limits.iter().any(|limit| limit.id != id && *limit.name == **name) {
                return "name taken".to_owned();
            }
            self.limit(id).name = name.to_string();
        }
        if let Some(decay) = patch.decay {
            let nanos = i128::from(decay.as_units());
            if (nanos == 0) != (self.limit(id).nanos_per_second == 0) {
                for held in self.leases.iter_mut().flat_map(|lease| &mut lease.holdings) {
                    if held.limit == id {
                        held.level = held.slots * SLOT;
                    }
                }
                if nanos == 0 {
                    let limit = self.limit(id);
                    limit.unleased.retain(|(by, _)| *by != By::Rate);
                    limit.lose(limit.unleased() % SLOT, |_| true);
                }
            }
            self.limit(id).nanos_per_second = nanos;
        }
        let leased = self.leased(id);
        let limit = self.limit(id);
        limit.slots = patch.slots.map_or(limit.slots, i128::from);
        limit.active = patch.active.unwrap_or(limit.active);
        if let Some(most) = patch.taken_max {
            let left = ((i128::from(most) - limit.foreign) * SLOT - leased).max(0);
            limit.lose((limit.unleased() - left).max(0), |_| true);
        }
        "done".to_owned()
    }

    /// Takes a limit out of all leases, and ends those that are empty then, if they match.
    fn strip(&mut self, limit: u128, ends: impl Fn(&Lease) -> bool, how: &str) {
        let mut ended = Vec::new();
        for lease in &mut self.leases {
            if lease.held(limit).is_some() {
                lease.holdings.retain(|held| held.limit != limit);
                if lease.holdings.is_empty() && ends(lease) {
                    ended.push(lease.id);
                }
            }
        }
        for id in ended {
            self.end(id, how);
        }
    }

    fn end(&mut self, id: u128, how: &str) {
        self.leases.retain(|lease| lease.id != id);
        self.endings.push((id, format!("{how} at {}", self.now)));
    }

    fn gone(&self, id: u128) -> String {
        let ending = self.endings.iter().find(|(lease, _)| *lease == id);
        format!("gone {:?}", ending.map(|(_, how)| how))
    }

    fn level(&self, limit: u128) -> i128 {
        let limit = self.limits.iter().find(|l| l.id == limit).unwrap();
        limit.unleased() + self.leased(limit.id) + limit.foreign * SLOT
    }

    fn leased(&self, limit: u128) -> i128 {
        self.leases.iter().filter_map(|lease| lease.held(limit)).map(|held| held.level).sum()
    }

    fn holds(&self, holder: &str, limit: u128) -> bool {
        let mut of_holder = self.leases.iter().filter(|l| l.holder.as_deref() == Some(holder));
        of_holder.any(|lease| lease.held(limit).is_some())
    }

    fn limit(&mut self, id: u128) -> &mut Limit {
        self.limits.iter_mut().find(|limit| limit.id == id).unwrap()
    }

    fn find(&self, limit: &LimitRef, scope: Scope) -> Option<u128> {
        let found = self.limits.iter().find(|known| match limit {
            LimitRef::Id(id) => known.id == id.0,
            LimitRef::Name(name) => *known.name == **name,
        })?;
        (scope == Scope::All || found.name.starts_with("tag:")).then_some(found.id)
    }

    /// The limits that exist, once each.
    fn named<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<u128> {
        let mut ids = Vec::new();
        for limit in names.filter_map(|name| self.limits.iter().find(|l| l.name == name)) {
            if !ids.contains(&limit.id) {
                ids.push(limit.id);
            }
        }
        ids
    }

    fn names(&self, ids: &[u128]) -> Vec<String> {
        let limit = |id: &u128| self.limits.iter().find(|limit| limit.id == *id);
        ids.iter().filter_map(limit).map(|limit| limit.name.clone()).collect()
    }
}

impl Lease {
    fn held(&self, limit: u128) -> Option<&Held> {
        self.holdings.iter().find(|held| held.limit == limit)
    }
}

fn micros(span: Span) -> i128 {
    span.as_micros().into()
}
