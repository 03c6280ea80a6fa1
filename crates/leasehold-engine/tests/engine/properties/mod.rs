//! The invariants of the design as properties of random stories.

mod agreement;
mod edits;
mod events;
mod invariants;
mod model;
mod rates;
mod story;

use leasehold_engine::{
    Acquired, Command, Created, Deleted, EndReason, Ending, Gone, Ledger, MinimalLimit, Outcome,
    Page, Query, Renewed, Repeated, Scope, Timestamp, Updated, Wait,
};

/// An outcome in the words of the model.
fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Created(Created::Made(_) | Created::Changed(_)) => "made".to_owned(),
        Outcome::Created(Created::NameTaken) | Outcome::Updated(Updated::NameTaken) => {
            "name taken".to_owned()
        }
        Outcome::Updated(Updated::Done) | Outcome::Deleted(Deleted::Done) => "done".to_owned(),
        Outcome::Updated(Updated::NotFound) | Outcome::Deleted(Deleted::NotFound) => {
            "not found".to_owned()
        }
        Outcome::Acquired(acquired) => told_of(acquired),
        Outcome::GivenBack(limits) => format!("given back on {:?}", names(limits)),
        Outcome::Renewed(renewed) => told_of_renewal(renewed),
        Outcome::RenewedMany(renewed) => {
            renewed.iter().map(told_of_renewal).collect::<Vec<_>>().join(", ")
        }
        Outcome::Ended(Ok(ended)) => format!("ended {}", ended.lease.fence.0),
        Outcome::Lease(Ok(view)) => {
            let deadline = view.lease.deadline.map(Timestamp::as_micros);
            format!("lease {} until {deadline:?}", view.lease.fence.0)
        }
        Outcome::Ended(Err(gone)) | Outcome::Lease(Err(gone)) => told_of_end(gone),
        Outcome::Leases(Some(views)) => {
            format!("leases {:?}", views.iter().map(|view| view.lease.fence.0).collect::<Vec<_>>())
        }
        Outcome::Leases(None) => "not found".to_owned(),
        Outcome::Repossessed(leases) => {
            format!("repossessed {:?}", leases.iter().map(|l| l.fence.0).collect::<Vec<_>>())
        }
        Outcome::Holders(holders) => format!("holders {}", holders.len()),
        Outcome::Paired(lives) => format!("paired {lives}"),
        Outcome::Ticked => "ticked".to_owned(),
        other @ (Outcome::Limit(_)
        | Outcome::Held(_)
        | Outcome::Limits(_)
        | Outcome::Waiters(_)
        | Outcome::Near(_)
        | Outcome::Identified(_)
        | Outcome::Imported(_)
        | Outcome::TakenBack(_)) => {
            panic!("no part of the stories: {other:?}")
        }
    }
}

fn told_of_renewal(renewed: &Renewed) -> String {
    match renewed {
        Renewed::Renewed(deadline) => {
            format!("renewed until {:?}", deadline.map(Timestamp::as_micros))
        }
        Renewed::Gone(gone) => told_of_end(gone),
    }
}

fn told_of_end(gone: &Gone) -> String {
    format!("gone {:?}", gone.0.as_ref().map(how))
}

fn told_of(acquired: &Acquired) -> String {
    match acquired {
        Acquired::Granted(grant) => {
            let lease = grant.lease.map_or("nothing".to_owned(), |lease| {
                let deadline = lease.deadline.map(Timestamp::as_micros);
                format!("{} until {deadline:?}", lease.fence.0)
            });
            format!("granted {lease} on {:?}", names(&grant.limits))
        }
        Acquired::Refused(refusal) => {
            let blockers = refusal.blockers.iter().map(|blocker| {
                let wait = match blocker.wait {
                    Wait::Release { .. } => "a release".to_owned(),
                    Wait::Drain(span) => format!("{} µs", span.as_micros()),
                };
                format!("{} for {wait}", blocker.limit.name)
            });
            format!("refused by {:?}", blockers.collect::<Vec<_>>())
        }
        Acquired::Queued(ticket) => format!("queued at {}", ticket.0),
        Acquired::TooManySlots(limit) => format!("too many slots on {}", limit.name),
        Acquired::NotRateLimits(names) => format!("no rate limits {names:?}"),
        Acquired::Missing(names) => format!("missing {names:?}"),
        Acquired::Repeated(Repeated::Same(view)) => {
            let deadline = view.lease.deadline.map(Timestamp::as_micros);
            format!("lease {} until {deadline:?}", view.lease.fence.0)
        }
        Acquired::Repeated(Repeated::Different) => "another request".to_owned(),
        Acquired::Repeated(Repeated::Ended(gone)) => told_of_end(gone),
        Acquired::Elsewhere(names) => format!("elsewhere {names:?}"),
    }
}

fn names(limits: &[MinimalLimit]) -> Vec<&str> {
    limits.iter().map(|limit| &*limit.name).collect()
}

fn how(ending: &Ending) -> String {
    let how = match &ending.how {
        EndReason::Expired => "expired".to_owned(),
        EndReason::Revoked { reason, .. } => format!("revoked {reason:?}"),
        EndReason::Repossessed { evidence } => format!("repossessed {evidence:?}"),
        EndReason::Released => "released".to_owned(),
    };
    format!("{how} at {}", ending.at.as_micros())
}

/// The slots taken of each limit by name, with the ids of its leases.
fn picture(ledger: &mut Ledger) -> Vec<(String, i128, Vec<u128>)> {
    let everything = Page { offset: 0, limit: usize::MAX };
    let now = ledger.now();
    let limits = Command::Read(Query::Limits(Scope::All, everything));
    let Outcome::Limits(views) = ledger.step(limits, now).outcome else {
        panic!("no limits");
    };
    views
        .into_iter()
        .map(|view| {
            let on = leasehold_engine::LimitRef::Id(view.limit.id);
            let leases = Command::Read(Query::Leases(on, everything));
            let Outcome::Leases(Some(leases)) = ledger.step(leases, now).outcome else {
                panic!("no leases");
            };
            let ids = leases.iter().map(|view| view.lease.id.0).collect();
            (view.limit.name.to_string(), view.taken.into(), ids)
        })
        .collect()
}

/// Whether a lease to release, revoke or renew did not exist.
fn is_gone(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ended(Err(Gone(_))) | Outcome::Renewed(Renewed::Gone(_)))
}
