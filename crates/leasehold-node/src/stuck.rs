//! Describes waits that cannot end by themselves: in the log of events, and once for each limit,
//! waiter and holder in the server's own log.

use leasehold_engine::{Event, EventKind, Holder, Origin, StuckOn};

use crate::notices::Notices;

/// Warns of a wait that cannot end by itself, unless the log has it already.
pub(crate) fn warn(notices: &Notices, event: &Event) {
    let EventKind::Stuck(stuck) = &event.kind else { return };
    let waiter = name(event.holder.as_ref(), event.origin.as_deref());
    for on in stuck {
        let holder = name(on.holder.as_ref(), on.origin.as_deref());
        if !notices.is_new(("waiter.stuck", &*on.limit, &waiter, &holder), event.at) {
            continue;
        }
        let what = if on.is_own {
            "a request waits for a limit that its own holder has. It can go on only if another \
             thread of that holder releases it, or its lease ends: take one lease for all, or give \
             the limit more slots."
        } else {
            "holders wait for each other's limits. None of them can go on until one gives up or its \
             lease ends: take all limits in one request, or always in the same order."
        };
        tracing::warn!(
            waiter = %waiter.escape_debug(),
            limit = %on.limit.escape_debug(),
            holder = %holder.escape_debug(),
            lease = %uuid::Uuid::from_u128(on.lease.0),
            "{what}"
        );
    }
}

/// Why a wait cannot end by itself.
pub fn reason(stuck: &[StuckOn]) -> String {
    stuck.iter().map(reason_of_one).collect::<Vec<_>>().join("; ")
}

fn reason_of_one(on: &StuckOn) -> String {
    let (limit, lease) = (&on.limit, uuid::Uuid::from_u128(on.lease.0));
    if on.is_own {
        return format!("it holds '{limit}' itself, by the lease {lease}");
    }
    let holder = name(on.holder.as_ref(), on.origin.as_deref());
    let awaited: Vec<_> = on.waits_for.iter().map(|name| format!("'{name}'")).collect();
    format!("{holder} holds '{limit}' by the lease {lease}, and waits for {}", awaited.join(", "))
}

/// The name of a holder, for people.
fn name(holder: Option<&Holder>, origin: Option<&Origin>) -> String {
    if let Some(Holder { kind, id }) = holder {
        return format!("{kind} {id}");
    }
    let Some(it) = origin.and_then(|origin| origin.identified.as_ref()) else {
        return "an unknown holder".to_owned();
    };
    let (kind, run) = if it.task_run.is_empty() {
        ("flow run", &it.flow_run)
    } else {
        ("task run", &it.task_run)
    };
    match (run.name.as_deref(), run.id.as_deref()) {
        (Some(name), Some(id)) => format!("{kind} {name} ({id})"),
        (name, id) => format!("{kind} {}", id.or(name).unwrap_or("without a name")),
    }
}
