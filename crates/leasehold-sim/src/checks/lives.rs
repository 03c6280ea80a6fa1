//! The lives of acknowledged leases: from when until when each certainly holds its slots.

use std::collections::{HashMap, HashSet};

use crate::history::{Exchange, History};
use crate::wire::{Granted, Reply, Request};

/// A lease whose grant its holder received.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) lease: u64,
    pub(super) fence: u64,
    /// Whether no other lease can have its id: its request was sent once, without a key.
    pub(super) is_only: bool,
    pub(super) run: Option<u64>,
    pub(super) names: Vec<String>,
    pub(super) slots: u64,
    /// When its holder first asked for it.
    pub(super) asked: u64,
    /// When it was granted. If that is unknown, when the grant left.
    pub(super) granted: u64,
    /// When it was granted. If that is unknown, when it was requested.
    granted_after: u64,
    /// When the earliest grant that its holder received left the server.
    pub(super) acknowledged: u64,
    /// Before this time, only its deadline can end it: no other request to end it was sent.
    pub(super) untouched_until: u64,
    /// The same, without counting its holder's own requests.
    pub(super) untouched_by_others_until: u64,
    /// Its promised deadline, extended by all downtimes.
    pub(super) promised_until: u64,
    /// When the acknowledgement of its release left.
    pub(super) released: Option<u64>,
}

impl Life {
    /// Whether it certainly holds its slots at this time.
    pub(super) fn is_certain_at(&self, time: u64) -> bool {
        self.granted < time && time < self.untouched_until && time < self.promised_until
    }
}

/// The lives of all leases that were acknowledged.
pub(super) fn lives(history: &History) -> Vec<Life> {
    let by_lease = by_lease(history);
    let asked = first_asked(history);
    let mut lives = Vec::new();
    for exchange in &history.exchanges {
        if !may_hold_some(history, exchange) {
            begin(history, exchange, &asked, &mut lives);
        }
    }
    for life in &mut lives {
        let of_holder = by_lease.get(&life.lease).map_or(&[][..], Vec::as_slice);
        hear_renewals(history, life, of_holder);
        hear_releases(life, of_holder);
    }
    for exchange in &history.exchanges {
        for life in &mut lives {
            hear_others(life, exchange);
        }
    }
    lives
}

/// The limits that no check may rely on: those that were switched on or off or deleted.
pub(super) fn shaky(history: &History) -> HashSet<&str> {
    let requests = history.exchanges.iter().map(|exchange| &exchange.request);
    requests
        .filter_map(|request| match request {
            Request::Patch { name, active: Some(_), .. } | Request::Delete { name } => {
                Some(name.as_str())
            }
            _ => None,
        })
        .collect()
}

fn by_lease(history: &History) -> HashMap<u64, Vec<&Exchange>> {
    let mut by_lease: HashMap<u64, Vec<&Exchange>> = HashMap::new();
    for exchange in &history.exchanges {
        if let Request::Renew { lease, .. } | Request::Release { lease } = &exchange.request {
            by_lease.entry(*lease).or_default().push(exchange);
        }
    }
    by_lease
}

/// When each lease was first requested. With an idempotency key, it may be requested again.
fn first_asked(history: &History) -> HashMap<u64, u64> {
    let mut asked = HashMap::new();
    for exchange in &history.exchanges {
        if let Request::Acquire { lease, .. } | Request::Take { lease, .. } = exchange.request {
            asked.entry(lease).or_insert(exchange.sent);
        }
    }
    asked
}

/// Whether an earlier request of the run may have been granted. Then its new lease is only on the
/// tags that it did not have, and the history does not show which.
fn may_hold_some(history: &History, exchange: &Exchange) -> bool {
    let Some(run) = exchange.request.run() else { return false };
    let nothing = |reply: &Reply| matches!(reply, Reply::Refused { .. } | Reply::Unavailable);
    let before = history.exchanges.iter().take_while(|other| other.sent < exchange.sent);
    before.filter(|other| other.request.run() == Some(run)).any(|other| {
        let refused = other.replies.iter().filter(|answer| nothing(&answer.reply)).count() as u64;
        refused < other.copies
    })
}

/// Begins a life for each fence in the replies to an exchange. A late copy of a request may create
/// a second lease under the same id, after the first has ended.
fn begin(
    history: &History,
    exchange: &Exchange,
    first_asked: &HashMap<u64, u64>,
    lives: &mut Vec<Life>,
) {
    let (lease, run, slots, ttl) = match &exchange.request {
        Request::Acquire { lease, slots, ttl, .. } => (*lease, None, *slots, Some(*ttl)),
        Request::Take { lease, run, .. } => (*lease, Some(*run), 1, None),
        _ => return,
    };
    for answer in exchange.received() {
        let Reply::Granted { lease: Some(Granted { fence, deadline }), names, .. } = &answer.reply
        else {
            continue;
        };
        let deadline = deadline.map(|deadline| history.when(deadline, answer.left));
        let promised = deadline.map_or(u64::MAX, |at| history.extended(at, answer.left));
        if let Some(life) =
            lives.iter_mut().find(|life| life.fence == *fence && life.lease == lease)
        {
            life.acknowledged = life.acknowledged.min(answer.left);
            life.granted = life.granted.min(answer.left);
            life.promised_until = life.promised_until.max(promised);
            continue;
        }
        // A reply to a later copy contains a deadline that may have moved since the grant.
        let has_key = exchange.request.patience().is_some_and(|patience| patience.has_key);
        let is_only = exchange.copies == 1 && !has_key;
        let asked = first_asked.get(&lease).copied().unwrap_or(exchange.sent);
        let granted = ttl.filter(|_| is_only).zip(deadline).map(|(ttl, deadline)| deadline - ttl);
        lives.push(Life {
            lease,
            fence: *fence,
            is_only,
            run,
            names: names.clone(),
            slots,
            asked,
            granted: granted.unwrap_or(answer.left),
            granted_after: granted.unwrap_or(asked),
            acknowledged: answer.left,
            untouched_until: u64::MAX,
            untouched_by_others_until: u64::MAX,
            promised_until: promised,
            released: None,
        });
    }
}

/// An acknowledged renewal moves the deadline of the lease that lived at that time.
fn hear_renewals(history: &History, life: &mut Life, of_holder: &[&Exchange]) {
    let renewals = of_holder.iter().filter(|e| matches!(e.request, Request::Renew { .. }));
    let mut renewals: Vec<_> = renewals
        .flat_map(|exchange| exchange.received())
        .filter_map(|answer| match answer.reply {
            Reply::Renewed { at, deadline: Some(deadline) } => {
                let deadline = history.when(deadline, answer.left);
                let extended = history.extended(deadline, answer.left);
                Some((history.when(at, answer.left), extended))
            }
            _ => None,
        })
        .collect();
    renewals.sort_unstable();
    for (at, until) in renewals {
        if life.is_only || (life.granted <= at && at < life.promised_until) {
            life.promised_until = life.promised_until.max(until);
        }
    }
}

fn hear_releases(life: &mut Life, of_holder: &[&Exchange]) {
    for exchange in of_holder {
        if matches!(exchange.request, Request::Release { .. }) {
            life.untouched_until = life.untouched_until.min(exchange.sent);
            if exchange.sent > life.granted {
                life.released = life.released.or(exchange.done());
            }
        }
    }
}

/// Records what operators and later requests of a run may have done to a lease.
fn hear_others(life: &mut Life, exchange: &Exchange) {
    let has = |name: &String| life.names.contains(name);
    let is_holders = matches!(exchange.request, Request::Drop { .. });
    let may_end = match &exchange.request {
        Request::Revoke { lease } => *lease == life.lease,
        Request::Reset { name, .. } | Request::ResetTag { name, .. } | Request::Delete { name } => {
            has(name)
        }
        Request::Drop { run, .. } => Some(*run) == life.run,
        _ => false,
    };
    if may_end && exchange.quiet >= life.granted_after {
        // A copy that was sent before the grant may have arrived after it.
        let from = exchange.sent.max(life.granted_after);
        life.untouched_until = life.untouched_until.min(from);
        if is_holders && exchange.sent > life.granted {
            life.released = life.released.or(exchange.done());
        } else if !is_holders {
            life.untouched_by_others_until = life.untouched_by_others_until.min(from);
        }
    }
}
