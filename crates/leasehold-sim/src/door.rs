//! Converts requests into the engine's commands, and its outcomes into replies.

use std::sync::Arc;

use leasehold_engine::{
    Acquire, Acquired, Adopt, Command, CreateLimit, Created, Deleted, EndReason, Ending, GiveBack,
    Hold, Holder, LeaseFilter, LeaseId, LeaseView, Level, LimitId, LimitPatch, LimitRef, LimitView,
    Missing, Mode, Notes, Outcome, Page, Patience, Query, Rate, Renewed, Repeated, RequestDigest,
    Scope, Span, Ticket, Timestamp, Updated, WaiterId,
};

use crate::wire::{Gone, Granted, Lease, Limit, Reply, Request};

const EVERYTHING: Page = Page { offset: 0, limit: usize::MAX };

/// How the server lets a request wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InLine {
    pub(crate) waiter: u64,
    pub(crate) wait: u64,
    pub(crate) place: Option<Ticket>,
}

/// The commands of a request. A look takes two.
pub(crate) fn commands(request: &Request, in_line: Option<InLine>, now: Timestamp) -> Vec<Command> {
    let patience = in_line.zip(request.patience()).map(|(line, patience)| Patience {
        waiter: WaiterId(line.waiter),
        until: now + Span::from_micros(line.wait),
        priority: patience.priority,
        place: line.place,
    });
    match command(request, patience) {
        Some(command) => vec![command],
        None => vec![
            Command::Read(Query::Limits(Scope::All, EVERYTHING)),
            Command::Read(Query::FindLeases(LeaseFilter::default(), EVERYTHING)),
        ],
    }
}

fn command(request: &Request, patience: Option<Patience>) -> Option<Command> {
    let names = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    Some(match request {
        Request::Acquire { lease, names, slots, ttl, patience: asked } => {
            let hold = Hold::Lease {
                id: lease_id(*lease),
                holder: None,
                ttl: Span::from_micros(*ttl),
                notes: asked.filter(|asked| asked.has_key).map(|_| notes(*slots)),
            };
            let missing = match asked {
                Some(asked) if asked.insists => Missing::Refuse,
                _ => Missing::Skip,
            };
            let wants = names.iter().map(|name| (name.as_str(), *slots));
            Command::Acquire(Acquire { missing, patience, ..Acquire::new(wants, hold) })
        }
        Request::Take { lease, run, tags, .. } => {
            let hold = Hold::Holder { id: lease_id(*lease), holder: holder(*run) };
            let wants = tags.iter().map(|tag| (tag.as_str(), 1));
            Command::Acquire(Acquire { patience, ..Acquire::new(wants, hold) })
        }
        Request::Drop { run, tags } => {
            Command::ReleaseTags { names: names(tags), holder: holder(*run) }
        }
        Request::Increment { name, slots, is_rate, .. } => {
            let mode = if *is_rate { Mode::RateLimit } else { Mode::Concurrency };
            let acquire = Acquire::new([(name.as_str(), *slots)], Hold::Unleased);
            Command::Acquire(Acquire { mode, patience, ..acquire })
        }
        Request::Decrement { name, slots } => Command::GiveBack(GiveBack {
            names: [name.as_str().into()].into_iter().collect(),
            slots: *slots,
            occupancy: None,
        }),
        Request::Renew { lease, ttl } => {
            Command::Renew { lease: lease_id(*lease), ttl: Span::from_micros(*ttl) }
        }
        Request::Release { lease } => Command::Release { lease: lease_id(*lease) },
        Request::Revoke { lease } => {
            Command::Revoke { lease: lease_id(*lease), reason: None, by: None }
        }
        Request::Create { id, name, slots, nanos_per_second } => {
            let decay = Rate::from_units(*nanos_per_second);
            let limit = CreateLimit::new(limit_id(*id), name.as_str(), *slots);
            Command::CreateLimit(CreateLimit { decay, ..limit })
        }
        Request::Patch { name, slots, active, taken_max } => Command::UpdateLimit {
            limit: limit(name),
            patch: LimitPatch {
                slots: *slots,
                active: *active,
                taken_max: *taken_max,
                ..LimitPatch::default()
            },
        },
        Request::Reset { name, slots } => {
            Command::ResetLimit { limit: limit(name), slots: *slots, reason: None }
        }
        Request::ResetTag { name, holders } => Command::ResetTag {
            name: name.as_str().into(),
            holders: holders.iter().map(|(lease, run)| (lease_id(*lease), holder(*run))).collect(),
            reason: None,
        },
        Request::Delete { name } => Command::DeleteLimit { limit: limit(name), scope: Scope::All },
        Request::Adopt { id, name, slots, foreign } => Command::Adopt(Adopt {
            limit: CreateLimit::new(limit_id(*id), name.as_str(), *slots),
            foreign: *foreign,
            occupancy_seconds_average: 1.0,
            level: Level::ZERO,
        }),
        Request::SetForeign { id, slots, .. } => {
            Command::SetForeign { limit: limit_id(*id), slots: *slots }
        }
        Request::SetReturning { id, is_returning, .. } => {
            Command::SetReturning { limit: limit_id(*id), returning: *is_returning }
        }
        Request::Pair { lease, partners } => Command::Pair {
            lease: lease_id(*lease),
            partners: partners.iter().map(|partner| lease_id(*partner)).collect(),
        },
        Request::Look => return None,
    })
}

/// The reply to a request that was stepped at `at` with this outcome.
pub(crate) fn reply(outcome: Outcome, at: i64) -> Reply {
    match outcome {
        Outcome::Acquired(acquired) => self::acquired(acquired, at),
        Outcome::Renewed(Renewed::Renewed(deadline)) => {
            Reply::Renewed { at, deadline: deadline.map(Timestamp::as_micros) }
        }
        Outcome::Renewed(Renewed::Gone(gone)) | Outcome::Ended(Err(gone)) => {
            Reply::Gone { at, how: gone.0.as_ref().and_then(how) }
        }
        Outcome::Created(Created::NameTaken)
        | Outcome::Updated(Updated::NotFound | Updated::NameTaken)
        | Outcome::Deleted(Deleted::NotFound)
        | Outcome::Paired(false) => Reply::No { at },
        _ => Reply::Done { at },
    }
}

fn acquired(outcome: Acquired, at: i64) -> Reply {
    match outcome {
        Acquired::Granted(grant) => Reply::Granted {
            at,
            lease: grant.lease.map(|lease| Granted {
                fence: lease.fence.0,
                deadline: lease.deadline.map(Timestamp::as_micros),
            }),
            names: grant.limits.iter().map(|limit| limit.name.to_string()).collect(),
        },
        Acquired::Repeated(Repeated::Same(view)) => Reply::Granted {
            at,
            lease: Some(Granted {
                fence: view.lease.fence.0,
                deadline: view.lease.deadline.map(Timestamp::as_micros),
            }),
            names: view.names.iter().map(ToString::to_string).collect(),
        },
        Acquired::Repeated(Repeated::Ended(gone)) => {
            Reply::Gone { at, how: gone.0.as_ref().and_then(how) }
        }
        Acquired::Refused(_) => Reply::Refused { at },
        Acquired::Repeated(Repeated::Different)
        | Acquired::TooManySlots(_)
        | Acquired::NotRateLimits(_)
        | Acquired::Missing(_) => Reply::Rejected { at },
        Acquired::Elsewhere(_) => Reply::Elsewhere { at },
        // Not an answer: the request is still in the queue.
        Acquired::Queued(_) => Reply::Unavailable,
    }
}

/// The place that a refusal keeps.
pub(crate) fn place(outcome: &Outcome) -> Option<Ticket> {
    match outcome {
        Outcome::Acquired(Acquired::Refused(refusal)) => refusal.place,
        _ => None,
    }
}

/// The notes on a lease whose request had an idempotency key.
fn notes(slots: u64) -> Arc<Notes> {
    Arc::new(Notes { request: Some(RequestDigest(slots.into())), ..Notes::default() })
}

/// The reply to a look.
pub(crate) fn picture(limits: Vec<LimitView>, leases: &[LeaseView], at: i64) -> Reply {
    let limits = limits.into_iter().map(|view| {
        let held = leases.iter().filter_map(|LeaseView { lease, .. }| {
            let held = lease.holdings.iter().find(|held| held.limit == view.limit.id)?;
            Some(Lease {
                id: number(lease.id),
                fence: lease.fence.0,
                run: lease.holder.as_ref().and_then(|holder| holder.id.parse().ok()),
                slots: held.slots,
                deadline: lease.deadline.map(Timestamp::as_micros),
                partners: lease.partners.iter().copied().map(number).collect(),
            })
        });
        Limit {
            name: view.limit.name.to_string(),
            slots: view.limit.slots,
            drains: !view.limit.decay.is_none(),
            taken: view.taken,
            unleased: view.limit.unleased.slots_taken(),
            foreign: view.limit.foreign,
            is_returning: view.limit.returning,
            leases: held.collect(),
        }
    });
    Reply::Picture { at, limits: limits.collect() }
}

fn how(ending: &Ending) -> Option<Gone> {
    match ending.how {
        EndReason::Expired => Some(Gone::Expired),
        EndReason::Revoked { .. } | EndReason::Repossessed { .. } => Some(Gone::Revoked),
        EndReason::Released => None,
    }
}

fn number(lease: LeaseId) -> u64 {
    u64::try_from(lease.0).unwrap_or(u64::MAX)
}

fn limit_id(id: u64) -> LimitId {
    LimitId(id.into())
}

fn lease_id(lease: u64) -> LeaseId {
    LeaseId(lease.into())
}

fn holder(run: u64) -> Holder {
    Holder::new(Holder::TASK_RUN, run.to_string())
}

fn limit(name: &str) -> LimitRef {
    LimitRef::Name(name.into())
}
