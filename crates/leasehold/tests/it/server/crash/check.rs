//! What is there after a restart, against what the holders know. Asks the server alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::holder::{Held, Holder, Request};
use super::{SHARED, TAGS};
use crate::server::http::Client;

/// How far this process's clock and the server's may differ: both run on this machine, but
/// one is slewed while it runs and the other is not.
const CLOCK_ERROR: SignedDuration = SignedDuration::from_millis(20);

/// A lease as it is listed.
struct Listed {
    lease_id: String,
    names: Vec<String>,
    slots: u64,
    fence: u64,
    deadline: Timestamp,
}

/// Compares, and lets the holders learn what became of what was not answered. Answers the
/// largest fencing token that was ever seen.
pub(super) fn all(client: &mut Client, holders: &mut [Holder], fence_max: u64) -> u64 {
    let mut listed = leases(client);
    let mut task_runs: BTreeMap<_, _> =
        TAGS.iter().map(|(tag, slots)| (*tag, task_runs(client, tag, *slots))).collect();
    for holder in &mut *holders {
        check_leases(holder, &mut listed);
        check_tags(holder, &mut task_runs);
        check_own_limit(holder, client);
        holder.unanswered = None;
    }
    assert!(listed.is_empty(), "nobody asked for {:?}", listed.keys());
    assert!(task_runs.values().all(BTreeSet::is_empty), "nobody asked for {task_runs:?}");

    let seen = holders.iter().map(|holder| holder.fence_max).max().unwrap().max(fence_max);
    check_fence_rises(client, seen)
}

/// All leases on the shared limits, by the task run that holds them. Checks on the way that
/// the slots of each limit are those of its leases, and no more than it has.
fn leases(client: &mut Client) -> BTreeMap<Uuid, Listed> {
    let mut listed = BTreeMap::new();
    for (name, slots) in SHARED {
        let leases = client.get(&format!("/api/v2/concurrency_limits/{name}/leases")).json();
        let mut taken = 0;
        for lease in leases.as_array().unwrap() {
            let limits = lease["limits"].as_array().unwrap();
            let here = limits.iter().find(|limit| limit["name"] == name).unwrap();
            taken += here["slots"].as_u64().unwrap();
            listed.insert(lease["holder"]["id"].as_str().unwrap().parse().unwrap(), read(lease));
        }
        assert_eq!(client.active_slots(name), taken, "{name} has other slots than its leases");
        assert!(taken <= slots, "{taken} of {slots} slots of {name} are taken");
    }
    listed
}

fn read(lease: &Value) -> Listed {
    let limits = lease["limits"].as_array().unwrap();
    let slots: BTreeSet<_> = limits.iter().map(|limit| limit["slots"].as_u64().unwrap()).collect();
    assert_eq!(slots.len(), 1, "as many on each limit: {lease}");
    let mut names: Vec<_> =
        limits.iter().map(|limit| limit["name"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    Listed {
        lease_id: lease["id"].as_str().unwrap().to_owned(),
        names,
        slots: slots.into_iter().next().unwrap(),
        fence: lease["fencing_token"].as_u64().unwrap(),
        deadline: lease["deadline"].as_str().unwrap().parse().unwrap(),
    }
}

/// The task runs that hold a slot of a tag: as many as slots are taken.
fn task_runs(client: &mut Client, tag: &str, slots: u64) -> BTreeSet<Uuid> {
    let limit = client.get(&format!("/api/concurrency_limits/tag/{tag}")).json();
    let runs = limit["active_slots"].as_array().unwrap();
    let runs: BTreeSet<_> = runs.iter().map(|run| run.as_str().unwrap().parse().unwrap()).collect();
    let taken = client.active_slots(&format!("tag:{tag}"));
    assert_eq!(taken, runs.len() as u64, "{tag} has other slots than its holders");
    assert!(taken <= slots, "{taken} of {slots} slots of {tag} are taken");
    runs
}

fn check_leases(holder: &mut Holder, listed: &mut BTreeMap<Uuid, Listed>) {
    match holder.unanswered.clone() {
        Some(Request::Acquire { run, names, slots, until }) => {
            if let Some(Listed { lease_id, fence, .. }) = listed.get(&run) {
                let lease_id = lease_id.clone();
                holder.fence_max = holder.fence_max.max(*fence);
                let held = Held { lease_id, names, slots, fence: *fence, deadline: until };
                holder.leases.insert(run, held);
            }
        }
        Some(Request::Release { run }) if !listed.contains_key(&run) => {
            holder.leases.remove(&run);
        }
        // Renewed or not, it lasts to the earlier of the two at least.
        Some(Request::Renew { run, until }) => {
            let held = holder.leases.get_mut(&run).unwrap();
            held.deadline = held.deadline.min(until);
        }
        _ => {}
    }
    for (run, held) in &mut holder.leases {
        let found = listed.remove(run);
        let found = found.unwrap_or_else(|| panic!("{held:?} was acknowledged, and is gone"));
        assert_eq!((&found.lease_id, found.fence), (&held.lease_id, held.fence));
        assert_eq!((&found.names[..], found.slots), (&as_owned(&held.names)[..], held.slots));
        let promised = held.deadline - CLOCK_ERROR;
        assert!(found.deadline >= promised, "{} is too early: {held:?}", found.deadline);
        held.deadline = found.deadline;
    }
}

fn as_owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn check_tags(holder: &mut Holder, task_runs: &mut BTreeMap<&'static str, BTreeSet<Uuid>>) {
    match holder.unanswered {
        Some(Request::TagIncrement { run, tag }) if task_runs[tag].contains(&run) => {
            holder.tagged.insert(run, tag);
        }
        Some(Request::TagDecrement { run, tag }) if !task_runs[tag].contains(&run) => {
            holder.tagged.remove(&run);
        }
        _ => {}
    }
    for (run, tag) in &holder.tagged {
        let was_there = task_runs.get_mut(tag).unwrap().remove(run);
        assert!(was_there, "{run} was given a slot of {tag}, and it is gone");
    }
}

fn check_own_limit(holder: &mut Holder, client: &mut Client) {
    let limit = client.get(&format!("/api/v2/concurrency_limits/{}", holder.own_limit)).json();
    let (slots, taken) = (limit["limit"].as_u64().unwrap(), limit["active_slots"].as_u64());
    match holder.unanswered {
        Some(Request::Resize { slots: asked }) if asked == slots => holder.own_slots = asked,
        Some(Request::Increment { slots }) if taken == Some(holder.unleased + slots) => {
            holder.unleased += slots;
        }
        Some(Request::Decrement { slots }) if taken == Some(holder.unleased - slots) => {
            holder.unleased -= slots;
        }
        _ => {}
    }
    assert_eq!(taken, Some(holder.unleased), "{limit}");
    assert_eq!(slots, holder.own_slots, "{limit}");
}

/// Takes a lease and gives it back, on a limit that has room for it.
fn check_fence_rises(client: &mut Client, seen: u64) -> u64 {
    let name = "fence";
    if client.get(&format!("/api/v2/concurrency_limits/{name}")).status == 404 {
        client.create_limit(name, 1);
    }
    let lease = client.acquire(&[name], 1).json();
    let fence = lease["fencing_token"].as_u64().unwrap();
    assert!(fence > seen, "token {fence} after {seen}");
    let body = json!({"lease_id": lease["lease_id"]});
    client.post("/api/v2/concurrency_limits/decrement-with-lease", &body);
    fence
}
