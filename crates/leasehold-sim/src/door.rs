//! From the wire to the engine and back.

use leasehold_engine::{
    Acquire, Acquired, Command, CreateLimit, Created, Deleted, Ending, GiveBack, Hold, Holder, How,
    LeaseId, Ledger, Level, LimitId, LimitPatch, LimitRef, Missing, Mode, Outcome, Page, Query,
    Rate, Renewed, Scope, Span, Timestamp, Updated, Want,
};

use crate::wire::{Gone, Granted, Lease, Limit, Reply, Request};

const EVERYTHING: Page = Page { offset: 0, limit: usize::MAX };

/// Does what a request asks.
pub(crate) fn serve(ledger: &mut Ledger, request: &Request, now: Timestamp) -> Reply {
    match command(request) {
        Some(command) => {
            let outcome = ledger.step(command, now).outcome;
            reply(outcome, ledger.now().as_micros())
        }
        None => look(ledger, now),
    }
}

fn command(request: &Request) -> Option<Command> {
    let want = |name: &String, slots| Want { name: name.as_str().into(), slots };
    let names = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    Some(match request {
        Request::Acquire { lease, names, slots, ttl } => Command::Acquire(Acquire {
            wants: names.iter().map(|name| want(name, *slots)).collect(),
            mode: Mode::Concurrency,
            hold: Hold::Lease {
                id: lease_id(*lease),
                holder: None,
                ttl: Span::from_micros(*ttl),
                notes: None,
            },
            missing: Missing::Skip,
            patience: None,
        }),
        Request::Take { lease, run, tags } => Command::Acquire(Acquire {
            wants: tags.iter().map(|tag| want(tag, 1)).collect(),
            mode: Mode::Concurrency,
            hold: Hold::Holder { id: lease_id(*lease), holder: holder(*run) },
            missing: Missing::Skip,
            patience: None,
        }),
        Request::Drop { run, tags } => {
            Command::ReleaseTags { names: names(tags), holder: holder(*run) }
        }
        Request::Increment { name, slots, is_rate } => Command::Acquire(Acquire {
            wants: [want(name, *slots)].into_iter().collect(),
            mode: if *is_rate { Mode::RateLimit } else { Mode::Concurrency },
            hold: Hold::Unleased,
            missing: Missing::Skip,
            patience: None,
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
        Request::Patch { name, slots, active, unleased } => Command::UpdateLimit {
            limit: limit(name),
            patch: LimitPatch {
                slots: *slots,
                active: *active,
                unleased: *unleased,
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
        Outcome::Acquired(Acquired::Granted(grant)) => Reply::Granted {
            at,
            lease: grant.lease.map(|lease| Granted {
                fence: lease.fence.0,
                deadline: lease.deadline.map(Timestamp::as_micros),
            }),
            names: grant.limits.iter().map(|limit| limit.name.to_string()).collect(),
        },
        Outcome::Acquired(Acquired::Refused(_)) => Reply::Refused { at },
        Outcome::Acquired(Acquired::TooManySlots(_) | Acquired::NotRateLimits(_)) => {
            Reply::Rejected { at }
        }
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
                unleased: Level::slots_taken(view.limit.unleased),
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
        How::Expired => Some(Gone::Expired),
        How::Revoked { .. } | How::Repossessed { .. } => Some(Gone::Revoked),
        How::Released => None,
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
