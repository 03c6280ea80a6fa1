//! Carries out an export at a running Prefect server: limits are created there, and the server is
//! asked for what still lives here. A record says what was asked before.

use leasehold_client::{Error as ClientError, encoded};
use serde::Serialize;
use serde_json::{Value, json};

use super::{ExportHolder, ExportLimit, ExportPlan, Way};
use crate::api::Api;
use crate::error::Error;
use crate::plan::Fate;
use crate::prefect::Holder;
use crate::record::{Record, RecordError, State};

/// What a server's leases may last, in seconds.
const LEASE_SECONDS: std::ops::RangeInclusive<u64> = 60..=86_400;

/// What was done there.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Exported {
    /// How many limits were created or changed.
    pub limits: usize,
    /// How many holders are counted there now.
    pub holders: usize,
    /// How many were counted there by an earlier call.
    pub before: usize,
    /// What could not be counted there, and why.
    pub failed: Vec<String>,
}

/// Why an export could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The server.
    #[error(transparent)]
    Server(#[from] Error),
    /// The record of what was asked.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Carries out a plan. What the record has is not asked again: a repetition goes on where the last
/// call ended.
///
/// # Errors
///
/// If the server does not answer, or the record cannot be written. What was done is in the record.
pub async fn export_to_api(
    plan: &ExportPlan,
    api: &Api,
    record: &mut Record,
    mut progress: impl FnMut(&str),
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    for limit in &plan.limits {
        exported.limits += usize::from(write_limit(limit, api).await?);
    }
    let all = plan.holders.len();
    for (number, holder) in plan.holders.iter().enumerate() {
        progress(&format!("asking for what is held: {number} of {all}"));
        if holder.way == Way::Granted {
            let key = holder.lease.to_string();
            let body = || ask_for(holder, plan);
            ask(api, record, &key, &holder.limits.join(", "), body, &mut exported).await?;
        }
    }
    for limit in plan.limits.iter().filter(|limit| limit.unleased > 0) {
        let key = format!("slots without a lease on {}", limit.source.id);
        let body = || Ask {
            path: "/v2/concurrency_limits/increment",
            body: json!({ "names": [limit.name], "slots": limit.unleased }),
            may_repeat: false,
        };
        ask(api, record, &key, &limit.name, body, &mut exported).await?;
    }
    Ok(exported)
}

/// Creates or changes a limit, and raises the level of a rate limit. Returns whether it did.
async fn write_limit(limit: &ExportLimit, api: &Api) -> Result<bool, Error> {
    let source = &limit.source;
    let is_rate = !source.decay.is_none();
    let mut values = json!({
        "limit": source.slots,
        "active": source.active,
        "slot_decay_per_second": source.decay.as_slots_per_second(),
    });
    let tag = source.tag();
    match (&limit.fate, tag) {
        // A server before 3.4.19 has the limits of tags elsewhere; both take this.
        (Fate::Create | Fate::Replace(_), Some(tag)) => {
            let body = json!({ "tag": tag, "concurrency_limit": source.slots });
            api.post("/concurrency_limits/", &body).await?;
        }
        (Fate::Create, None) => {
            values["name"] = Value::from(source.name.as_str());
            values["active_slots"] = Value::from(if is_rate { source.taken } else { 0 });
            api.post("/v2/concurrency_limits/", &values).await?;
        }
        (Fate::Replace(_), None) => api.patch(&at(limit), &values).await?,
        (Fate::Same | Fate::Skip(_), _) if is_rate && source.taken > limit.taken_before => {
            api.patch(&at(limit), &json!({ "active_slots": source.taken })).await?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn at(limit: &ExportLimit) -> String {
    format!("/v2/concurrency_limits/{}", encoded(&limit.name))
}

/// A request that takes slots.
struct Ask {
    path: &'static str,
    body: Value,
    /// If its answer was lost, it is asked again: what was taken twice comes back by itself.
    may_repeat: bool,
}

fn ask_for(holder: &ExportHolder, plan: &ExportPlan) -> Ask {
    let names = &holder.limits;
    let tags: Option<Vec<_>> = names.iter().map(|name| name.strip_prefix("tag:")).collect();
    let task_run = holder.holder.as_ref().filter(|holder| holder.kind == Holder::TASK_RUN);
    if let (None, Some(tags), Some(task_run)) = (holder.deadline, tags, task_run) {
        let body = json!({ "names": tags, "task_run_id": task_run.id });
        return Ask { path: "/concurrency_limits/increment", body, may_repeat: false };
    }
    let left = holder.deadline.map(|deadline| deadline.since(plan.at).as_micros() / 1_000_000 + 1);
    let (shortest, longest) = LEASE_SECONDS.into_inner();
    let seconds = left.unwrap_or(longest).clamp(shortest, longest);
    let known = ["task_run", "flow_run", "deployment"];
    let named = holder.holder.as_ref().filter(|holder| known.contains(&holder.kind.as_str()));
    let named = named.map(|holder| json!({ "type": holder.kind, "id": holder.id }));
    let body = json!({
        "names": names, "slots": holder.slots, "lease_duration": seconds, "holder": named,
    });
    Ask { path: "/v2/concurrency_limits/increment-with-lease", body, may_repeat: true }
}

/// Asks for slots, unless the record has it already.
async fn ask(
    api: &Api,
    record: &mut Record,
    key: &str,
    limits: &str,
    request: impl Fn() -> Ask,
    to: &mut Exported,
) -> Result<(), ExportError> {
    let mut ask = request();
    match record.state(api.place(), key) {
        Some(State::Counted) => {
            to.before += 1;
            return Ok(());
        }
        Some(State::Asked) if !ask.may_repeat => {
            to.failed.push(format!(
                "{limits}: the answer to an earlier request was lost, and slots that it may have \
                 taken come back by no lease; compare the count there"
            ));
            return Ok(());
        }
        _ => {}
    }
    loop {
        record.set(api.place(), key, State::Asked)?;
        match api.try_post(ask.path, &ask.body).await {
            Ok(_) => {
                record.set(api.place(), key, State::Counted)?;
                to.holders += 1;
                return Ok(());
            }
            // A server before 3.4.9 has no leases: its clients return slots by name.
            Err(ClientError::NotServed { .. } | ClientError::Invalid { status: 405, .. })
                if ask.may_repeat =>
            {
                let Value::Object(body) = &ask.body else { return Ok(()) };
                let body = json!({ "names": body["names"], "slots": body["slots"] });
                let path = "/v2/concurrency_limits/increment";
                ask = Ask { path, body, may_repeat: false };
            }
            Err(error) if error.is_outage() => return Err(api.error(ask.path, error).into()),
            Err(error) => {
                record.set(api.place(), key, State::Refused)?;
                to.failed.push(format!("{limits}: {error}"));
                return Ok(());
            }
        }
    }
}
