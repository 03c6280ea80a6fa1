//! A holder in words: what it calls itself, and else where it comes from.

use leasehold_api::events::EventHolder;
use leasehold_api::leases::{LeaseHolder, NamedHolder};
use leasehold_api::origin::{Certainty, Named, Origin};

/// A holder by kind and id, wherever it was listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    kind: &'a str,
    id: &'a str,
}

impl<'a> From<&'a LeaseHolder> for Who<'a> {
    fn from(holder: &'a LeaseHolder) -> Self {
        Self { kind: &holder.r#type, id: &holder.id }
    }
}

impl<'a> From<&'a NamedHolder> for Who<'a> {
    fn from(holder: &'a NamedHolder) -> Self {
        Self { kind: &holder.kind, id: &holder.id }
    }
}

impl<'a> From<&'a EventHolder> for Who<'a> {
    fn from(holder: &'a EventHolder) -> Self {
        Self { kind: &holder.kind, id: &holder.id }
    }
}

/// Who it is, in a few words: the run if one is known, else the holder, else its client.
pub(crate) fn who<'a>(holder: Option<impl Into<Who<'a>>>, origin: Option<&Origin>) -> String {
    let run = origin.and_then(|origin| origin.identified.as_ref()).and_then(|runs| {
        let flow_run = name(runs.flow_run.as_ref()).map(|name| format!("flow run {name}"));
        let task_run = name(runs.task_run.as_ref()).map(|name| format!("task {name}"));
        let parts: Vec<_> = [task_run, flow_run].into_iter().flatten().collect();
        let sure = if runs.certainty == Certainty::Likely { " (likely)" } else { "" };
        (!parts.is_empty()).then(|| format!("{}{sure}", parts.join(" in ")))
    });
    let named = || holder.map(Into::into).map(|who: Who<'_>| format!("{} {}", who.kind, who.id));
    run.or_else(named).or_else(|| from_where(origin)).unwrap_or_else(|| "no holder".to_owned())
}

/// Where it comes from: `prefect/3.9.1 at 10.0.0.3, flow nightly`.
pub(crate) fn from_where(origin: Option<&Origin>) -> Option<String> {
    let origin = origin?;
    let at = origin.address.as_ref().map(|address| format!("at {address}"));
    let words: Vec<_> = [origin.client.clone(), at].into_iter().flatten().collect();
    let place = Some(words.join(" ")).filter(|place| !place.is_empty());
    let flow = name(origin.flow.as_ref()).map(|name| format!("flow {name}"));
    let deployment = name(origin.deployment.as_ref()).map(|name| format!("deployment {name}"));
    let worker = name(origin.worker.as_ref()).map(|name| format!("worker {name}"));
    let parts: Vec<_> = [place, flow, deployment, worker].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn name(named: Option<&Named>) -> Option<&str> {
    let named = named?;
    named.name.as_deref().or(named.id.as_deref())
}

/// `1 slot`, `2 slots`.
pub(crate) fn slots(count: u64) -> String {
    counted(count, "slot")
}

/// `1 lease`, `2 leases`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `takes` for one, `take` for many: the verb in both forms.
pub(crate) fn verb<'a>(count: u64, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}
