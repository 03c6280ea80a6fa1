//! From the wire to the engine and back.

use std::sync::Arc;

use leasehold_engine::{
    Acquire, Acquired, Command, CreateLimit, Created, Deleted, EndReason, Ending, GiveBack, Hold,
    Holder, LeaseId, Ledger, LimitId, LimitPatch, LimitRef, Missing, Mode, Notes, Outcome, Page,
    Patience, Query, Rate, Renewed, Repeated, RequestDigest, Scope, Span, Ticket, Timestamp,
    Updated, WaiterId, Want,
};

use crate::wire::{Gone, Granted, Lease, Limit, Reply, Request};

const EVERYTHING: Page = Page { offset: 0, limit: usize::MAX };

/// How a request waits, as the server has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InLine {
    pub(crate) waiter: u64,
    pub(crate) wait: u64,
    pub(crate) place: Option<Ticket>,
}

/// What became of a request, and of those who waited.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// `None`: it waits.
    pub(crate) reply: Option<Reply>,
    /// Its place in line, or the one that is kept for it.
    pub(crate) place: Option<Ticket>,
    pub(crate) called: Vec<Called>,
}

/// The end of somebody's wait.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) waiter: u64,
    pub(crate) reply: Reply,
    /// The place that is kept for it.
    pub(crate) place: Option<Ticket>,
}

/// Does what a request asks.
pub(crate) fn serve(
    ledger: &mut Ledger,
    request: &Request,
    in_line: Option<InLine>,
    now: Timestamp,
) -> Served {
    let until = |wait| ledger.now().max(now) + Span::from_micros(wait);
    let patience = in_line.zip(request.patience()).map(|(line, patience)| Patience {
        waiter: WaiterId(line.waiter),
        until: until(line.wait),
        priority: patience.priority,
        place: line.place,
    });
    match command(request, patience) {
        Some(command) => step(ledger, command, now),
        None => {
            // What is due comes first; then all that is seen is of one moment.
            let called = step(ledger, Command::Tick, now).called;
            Served { reply: Some(look(ledger, now)), place: None, called }
        }
    }
}

/// Steps the ledger.
pub(crate) fn step(ledger: &mut Ledger, command: Command, now: Timestamp) -> Served {
    let step = ledger.step(command, now);
    let at = ledger.now().as_micros();
    let called = step.answered.into_iter().map(|called| Called {
        waiter: called.waiter.0,
        place: place(&called.outcome),
        reply: acquired(called.outcome, at),
    });
    let called = called.collect();
    match step.outcome {
        Outcome::Acquired(Acquired::Queued(ticket)) => {
            Served { reply: None, place: Some(ticket), called }
        }
        Outcome::Acquired(outcome) => {
            Served { place: place(&outcome), reply: Some(acquired(outcome, at)), called }
        }
        outcome => Served { reply: Some(reply(outcome, at)), place: None, called },
    }
}

/// What gives back a grant, should nobody be there to hear of it. With an idempotency key it
/// stays.
pub(crate) fn undo(request: &Request) -> Option<Command> {
    let is_watched = request.patience().is_some_and(|patience| !patience.has_key);
    match request {
        Request::Acquire { lease, .. } | Request::Take { lease, .. } if is_watched => {
            Some(Command::TakeBack { lease: lease_id(*lease) })
        }
        Request::Increment { name, slots, .. } if is_watched => {
            command(&Request::Decrement { name: name.clone(), slots: *slots }, None)
        }
        _ => None,
    }
}

/// The client of a request that waits is gone.
pub(crate) fn abandon(ledger: &mut Ledger, waiter: u64, now: Timestamp) -> Vec<Called> {
    step(ledger, Command::Abandon(WaiterId(waiter)), now).called
}

fn command(request: &Request, patience: Option<Patience>) -> Option<Command> {
    let want = |name: &String, slots| Want { name: name.as_str().into(), slots };
    let names = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    Some(match request {
        Request::Acquire { lease, names, slots, ttl, patience: asked } => {
            Command::Acquire(Acquire {
                wants: names.iter().map(|name| want(name, *slots)).collect(),
                mode: Mode::Concurrency,
                hold: Hold::Lease {
                    id: lease_id(*lease),
                    holder: None,
                    ttl: Span::from_micros(*ttl),
                    notes: asked.filter(|asked| asked.has_key).map(|_| notes(*slots)),
                },
                missing: match asked {
                    Some(asked) if asked.insists => Missing::Refuse,
                    _ => Missing::Skip,
                },
                patience,
                origin: None,
            })
        }
        Request::Take { lease, run, tags, .. } => Command::Acquire(Acquire {
            wants: tags.iter().map(|tag| want(tag, 1)).collect(),
            mode: Mode::Concurrency,
            hold: Hold::Holder { id: lease_id(*lease), holder: holder(*run) },
            missing: Missing::Skip,
            patience,
            origin: None,
        }),
        Request::Drop { run, tags } => {
            Command::ReleaseTags { names: names(tags), holder: holder(*run) }
        }
        Request::Increment { name, slots, is_rate, .. } => Command::Acquire(Acquire {
            wants: [want(name, *slots)].into_iter().collect(),
            mode: if *is_rate { Mode::RateLimit } else { Mode::Concurrency },
            hold: Hold::Unleased,
            missing: Missing::Skip,
            patience,
            origin: None,
        }),
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
            Command::CreateLimit(CreateLimit {
                id: LimitId((*id).into()),
                name: name.as_str().into(),
                slots: *slots,
                active: true,
                decay: Rate::from_units(*nanos_per_second),
                unleased: 0,
                denied_slots: 0,
            })
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
        Request::Look => return None,
    })
}

fn reply(outcome: Outcome, at: i64) -> Reply {
    match outcome {
        Outcome::Renewed(Renewed::Renewed(deadline)) => {
            Reply::Renewed { at, deadline: deadline.map(Timestamp::as_micros) }
        }
        Outcome::Renewed(Renewed::Gone(gone)) | Outcome::Ended(Err(gone)) => {
            Reply::Gone { at, how: gone.0.as_ref().and_then(how) }
        }
        Outcome::Created(Created::NameTaken)
        | Outcome::Updated(Updated::NotFound | Updated::NameTaken)
        | Outcome::Deleted(Deleted::NotFound) => Reply::No { at },
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
        // Not an answer: it is still in line.
        Acquired::Queued(_) => Reply::Unavailable,
    }
}

/// The place that a refusal keeps.
fn place(outcome: &Acquired) -> Option<Ticket> {
    match outcome {
        Acquired::Refused(refusal) => refusal.place,
        _ => None,
    }
}

/// What is told of a request with an idempotency key.
fn notes(slots: u64) -> Arc<Notes> {
    Arc::new(Notes { request: Some(RequestDigest(slots.into())), ..Notes::default() })
}

fn look(ledger: &mut Ledger, now: Timestamp) -> Reply {
    let query = Command::Read(Query::Limits(Scope::All, EVERYTHING));
    let views = match ledger.step(query, now).outcome {
        Outcome::Limits(views) => views,
        _ => Vec::new(),
    };
    let limits = views
        .into_iter()
        .map(|view| {
            let query = Query::Leases(LimitRef::Id(view.limit.id), EVERYTHING);
            let leases = match ledger.step(Command::Read(query), now).outcome {
                Outcome::Leases(Some(leases)) => leases,
                _ => Vec::new(),
            };
            Limit {
                name: view.limit.name.to_string(),
                slots: view.limit.slots,
                drains: !view.limit.decay.is_none(),
                taken: view.taken,
                unleased: view.limit.unleased.slots_taken(),
                leases: leases
                    .into_iter()
                    .map(|lease| Lease {
                        id: u64::try_from(lease.lease.id.0).unwrap_or(u64::MAX),
                        fence: lease.lease.fence.0,
                        run: lease.lease.holder.and_then(|holder| holder.id.parse().ok()),
                        slots: lease
                            .lease
                            .holdings
                            .iter()
                            .filter(|held| held.limit == view.limit.id)
                            .map(|held| held.slots)
                            .sum(),
                        deadline: lease.lease.deadline.map(Timestamp::as_micros),
                    })
                    .collect(),
            }
        })
        .collect();
    Reply::Picture { at: ledger.now().as_micros(), limits }
}

fn how(ending: &Ending) -> Option<Gone> {
    match ending.how {
        EndReason::Expired => Some(Gone::Expired),
        EndReason::Revoked { .. } | EndReason::Repossessed { .. } => Some(Gone::Revoked),
        EndReason::Released => None,
    }
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
