//! Joins the events of Prefect clients to leases.
//!
//! `concurrency()` names no holder when it requests slots. Some milliseconds later its client
//! reports in an event that it holds them, and in which flow run and task run. The event names the
//! limit but not the lease. So it is joined to a lease only if no other lease fits, or none fits as
//! well. Leases that have ended count, too: their events may still be under way.

mod heard;
pub(crate) mod recorded;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use leasehold_engine::{
    Acquire, Certainty, Grant, Holder, Identified, LeaseId, LimitId, Named, Origin, Span, Timestamp,
};
use smallvec::SmallVec;
use uuid::Uuid;

pub(crate) use self::heard::hear;

/// How long a grant waits for its event.
const WINDOW: Span = Span::from_seconds(30);
/// By how much a client's clock may be behind ours.
const SKEW: Span = Span::from_seconds(2);
/// Of several grants that fit an event, one fits best if it alone was made at most this long
/// before.
const CLOSE: Span = Span::from_micros(100_000);
/// How many grants are remembered. If one is dropped that still waits for its event, no join is
/// certain for the next [`WINDOW`].
const GRANTS_MAX: usize = 10_000;
/// How the names of the clients begin that send such events.
const CLIENT: &str = "prefect/";

/// A client's event that it acquired slots of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Acquired {
    /// The event's id: a client may send it twice.
    pub(crate) id: Uuid,
    pub(crate) occurred: Timestamp,
    pub(crate) address: Option<IpAddr>,
    pub(crate) limit: LimitId,
    pub(crate) slots: u64,
    /// The id of the flow.
    pub(crate) flow: Option<String>,
    pub(crate) flow_run: Named,
    pub(crate) task_run: Named,
}

/// What an event adds to a lease.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Join {
    pub(crate) lease: LeaseId,
    pub(crate) holder: Option<Holder>,
    /// The lease's origin, with the runs that the event names.
    pub(crate) origin: Arc<Origin>,
    pub(crate) identified: Arc<Identified>,
}

/// The grants whose events may still come.
#[derive(Debug)]
pub(crate) struct Joins(Mutex<Book>);

#[derive(Debug)]
struct Book {
    grants: BTreeMap<u64, Granted>,
    by_limit: HashMap<LimitId, VecDeque<u64>>,
    next: u64,
    /// Until then the book may lack grants, because it is new or was full.
    incomplete_until: Timestamp,
}

#[derive(Debug)]
struct Granted {
    at: Timestamp,
    /// `None` if the slots are held without a lease. Their event must not identify another lease.
    lease: Option<LeaseId>,
    holder: Option<Holder>,
    origin: Arc<Origin>,
    slots: u64,
    /// The limits, each with the event that was joined to it.
    limits: SmallVec<[(LimitId, Option<Uuid>); 1]>,
    identified: Option<Arc<Identified>>,
}

impl Joins {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Book {
            grants: BTreeMap::new(),
            by_limit: HashMap::new(),
            next: 0,
            incomplete_until: now + WINDOW,
        }))
    }

    /// Whether a client of this origin reports in events which slots it acquired.
    pub(crate) fn expects(origin: &Origin) -> bool {
        origin.client.as_deref().is_some_and(|client| client.starts_with(CLIENT))
    }

    /// Remembers a grant that its client will report in events.
    pub(crate) fn granted(
        &self,
        grant: &Grant,
        holder: Option<Holder>,
        origin: Arc<Origin>,
        now: Timestamp,
    ) {
        let Some(slots) = grant.holdings.first().map(|held| held.slots) else { return };
        let granted = Granted {
            at: grant.lease.map_or(now, |lease| lease.created),
            lease: grant.lease.map(|lease| lease.id),
            holder,
            origin,
            slots,
            limits: grant.holdings.iter().map(|held| (held.limit, None)).collect(),
            identified: None,
        };
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.forget(now);
        book.add(granted, now);
    }

    /// Joins an event to the only lease that it fits, or to the one that it fits best. Returns
    /// `None` if there is no such lease, or if the event adds nothing to it.
    pub(crate) fn join(&self, event: &Acquired, now: Timestamp) -> Option<Join> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.forget(now);
        book.join(event, now)
    }
}

impl Book {
    fn forget(&mut self, now: Timestamp) {
        // An event that a client sends twice arrives again within another window.
        while let Some(first) = self.grants.first_entry()
            && first.get().at + WINDOW + WINDOW < now
        {
            let (number, granted) = first.remove_entry();
            self.strike(number, &granted);
        }
    }

    fn add(&mut self, granted: Granted, now: Timestamp) {
        if self.grants.len() >= GRANTS_MAX
            && let Some((number, oldest)) = self.grants.pop_first()
        {
            self.strike(number, &oldest);
            if oldest.at + WINDOW > now {
                self.incomplete_until = now + WINDOW;
            }
        }
        for (limit, _) in &granted.limits {
            self.by_limit.entry(*limit).or_default().push_back(self.next);
        }
        self.grants.insert(self.next, granted);
        self.next += 1;
    }

    fn strike(&mut self, number: u64, granted: &Granted) {
        for (limit, _) in &granted.limits {
            let Some(numbers) = self.by_limit.get_mut(limit) else { continue };
            // The oldest grant comes first in the lists of all its limits.
            if numbers.front() == Some(&number) {
                numbers.pop_front();
            }
            if numbers.is_empty() {
                self.by_limit.remove(limit);
            }
        }
    }

    fn join(&mut self, event: &Acquired, now: Timestamp) -> Option<Join> {
        let numbers = self.by_limit.get(&event.limit)?;
        let (mut fits, mut is_doubtful) = (Vec::new(), now < self.incomplete_until);
        for number in numbers.iter().rev() {
            let Some(granted) = self.grants.get(number) else { continue };
            match granted.event_on(event.limit) {
                Some(known) if known == event.id => return None,
                Some(_) => is_doubtful |= granted.may_be_of_another(event),
                None if granted.fits(event) => fits.push((*number, granted.at)),
                None => {}
            }
        }
        is_doubtful |= fits.len() > 1;
        if fits.len() > 1 {
            fits.retain(|(_, at)| *at <= event.occurred && event.occurred.since(*at) <= CLOSE);
        }
        let [(number, _)] = fits[..] else { return None };
        let certainty = if is_doubtful { Certainty::Likely } else { Certainty::Certain };
        self.grants.get_mut(&number)?.join(event, certainty)
    }
}

impl Granted {
    /// The event that was joined to this grant on a limit.
    fn event_on(&self, limit: LimitId) -> Option<Uuid> {
        self.limits.iter().find(|(known, _)| *known == limit)?.1
    }

    /// Whether an event can be about this grant.
    fn fits(&self, event: &Acquired) -> bool {
        let is_in_time = self.at <= event.occurred + SKEW && event.occurred <= self.at + WINDOW;
        let said = self.identified.as_deref();
        is_in_time
            && self.slots == event.slots
            && self.origin.address == event.address
            && agree(self.origin.flow.id.as_deref(), event.flow.as_deref())
            && self.is_held_by(&event.flow_run, Holder::FLOW_RUN)
            && self.is_held_by(&event.task_run, Holder::TASK_RUN)
            && said.is_none_or(|it| it.flow_run == event.flow_run && it.task_run == event.task_run)
    }

    /// Whether the holder can be this run: it is not another run of that kind.
    fn is_held_by(&self, run: &Named, kind: &str) -> bool {
        let holder = self.holder.as_ref().filter(|holder| &*holder.kind == kind);
        agree(holder.map(|holder| &*holder.id), run.id.as_deref())
    }

    /// Whether the event joined to this grant may be another grant's, and `event` this one's.
    fn may_be_of_another(&self, event: &Acquired) -> bool {
        let is_likely = |it: &Arc<Identified>| it.certainty == Certainty::Likely;
        self.identified.as_ref().is_some_and(is_likely)
            && self.slots == event.slots
            && self.origin.address == event.address
    }

    fn join(&mut self, event: &Acquired, certainty: Certainty) -> Option<Join> {
        for (limit, joined) in &mut self.limits {
            if *limit == event.limit {
                *joined = Some(event.id);
            }
        }
        if self.identified.is_some() {
            return None;
        }
        let (flow_run, task_run) = (event.flow_run.clone(), event.task_run.clone());
        let says_nothing = flow_run.is_empty() && task_run.is_empty();
        let identified = Arc::new(Identified { flow_run, task_run, certainty });
        self.identified = Some(identified.clone());
        let lease = self.lease.filter(|_| !says_nothing)?;
        let origin = Origin { identified: Some(identified.clone()), ..Origin::clone(&self.origin) };
        Some(Join { lease, holder: self.holder.clone(), origin: Arc::new(origin), identified })
    }
}

/// Two values agree if they are equal, or if one of them is unknown.
fn agree(one: Option<&str>, other: Option<&str>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// The holder and the origin of a request, if its client will report in an event what it acquired.
pub(crate) fn expected(acquire: &Acquire) -> Option<(Option<Holder>, Arc<Origin>)> {
    let origin = acquire.origin.as_ref().filter(|origin| Joins::expects(origin))?;
    Some((acquire.hold.holder().cloned(), origin.clone()))
}

#[cfg(test)]
mod tests;
