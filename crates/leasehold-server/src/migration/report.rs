//! Where the migration stands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use leasehold_engine::{LimitId, LimitRef, Scope, Timestamp};
use leasehold_gateway::{Seen, Standing, Suspects};
use leasehold_node::Unavailable;
use uuid::Uuid;

use super::moves::why;
use super::{Migration, prefect};

/// Where the migration stands.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) upstream: String,
    pub(crate) is_reachable: bool,
    pub(crate) longest_lease_seconds: f64,
    pub(crate) strangers: u64,
    pub(crate) watching_since: Option<Timestamp>,
    pub(crate) judged_after: Option<Timestamp>,
    pub(crate) limits: Vec<LimitReport>,
}

/// Where a limit stands.
#[derive(Clone, Debug)]
pub(crate) struct LimitReport {
    pub(crate) id: LimitId,
    pub(crate) name: Arc<str>,
    pub(crate) slots: u64,
    pub(crate) taken: u64,
    pub(crate) held_here: u64,
    pub(crate) standing: Standing,
    pub(crate) leases: Vec<Seen>,
    pub(crate) unexplained: u64,
    pub(crate) phantoms: u64,
    pub(crate) unseen_task_runs: Vec<Uuid>,
    pub(crate) together: Vec<Arc<str>>,
    pub(crate) stays: Option<String>,
    pub(crate) failure: Option<String>,
    pub(crate) warning: Option<String>,
}

/// What the ledger says of a limit.
struct Here {
    id: LimitId,
    slots: u64,
    taken: u64,
    foreign: u64,
}

impl Migration {
    /// Where the migration stands. The upstream is asked; what it does not answer is left as it was
    /// seen last.
    pub(crate) async fn report(&self) -> Result<Report, Unavailable> {
        self.count_now().await;
        let upstream = &self.0.upstream;
        let (of_deployments, holders) = if self.state().has_answered {
            let asked =
                tokio::join!(prefect::of_deployments(upstream), prefect::tag_holders(upstream));
            (asked.0.unwrap_or_default(), asked.1.unwrap_or_default())
        } else {
            (HashMap::new(), HashMap::new())
        };
        let here = self.here().await?;
        let now = self.0.ledger.clock().now();
        let state = self.state();
        let pinned = state.pinned(&of_deployments);
        let mut names: Vec<_> = state.rows.keys().chain(here.keys()).cloned().collect();
        names.sort();
        names.dedup();
        let limits = names.into_iter().filter_map(|name| {
            let (row, here) = (state.rows.get(&name), here.get(&name));
            let standing = state.custody.standing(&name);
            let is_ours = state.custody.is_ours(&name);
            let upstream_taken = row.map_or(0, |row| row.active_slots);
            let seen: Vec<_> = state.watched.on(&name, now).into_iter().cloned().collect();
            let unseen = holders.get(&name).into_iter().flatten().filter(|run| {
                let run = run.to_string();
                !seen.iter().any(|seen| seen.holder.as_ref().is_some_and(|it| *it.id == *run))
            });
            Some(LimitReport {
                id: row.map(prefect::Row::id).or(here.map(|here| here.id))?,
                slots: here.map_or_else(|| row.map_or(0, |row| row.limit), |here| here.slots),
                taken: here.filter(|_| is_ours).map_or(upstream_taken, |here| here.taken),
                held_here: here.map_or(0, |here| here.taken.saturating_sub(here.foreign)),
                unexplained: state.suspects.get(&name).map_or(0, Suspects::unexplained),
                phantoms: state.phantoms(&name, now),
                unseen_task_runs: unseen.copied().collect(),
                together: state.together.group(&name).into_iter().collect(),
                stays: pinned.get(&name).cloned(),
                failure: standing.failure.map(why),
                warning: state.warning(&name, here.is_some() && row.is_none(), now),
                leases: seen,
                standing,
                name,
            })
        });
        Ok(Report {
            upstream: format!("{}/api", upstream.url()),
            is_reachable: state.has_answered,
            longest_lease_seconds: state.watched.longest().as_seconds_f64(),
            strangers: state.watched.strangers(now),
            watching_since: state.watched.begun(),
            judged_after: state.watched.is_complete_after(),
            limits: limits.collect(),
        })
    }

    async fn here(&self) -> Result<BTreeMap<Arc<str>, Here>, Unavailable> {
        let views = self.limits_here().await?;
        let all = views.into_iter().map(|view| {
            let limit = view.limit;
            let here = Here {
                id: limit.id,
                slots: limit.slots,
                taken: view.taken,
                foreign: limit.foreign,
            };
            (limit.name, here)
        });
        Ok(all.collect())
    }

    /// How many slots of a limit are taken that no lease of ours holds, so that a client may give
    /// them back here.
    pub(crate) async fn unleased(&self, name: &Arc<str>) -> Result<u64, Unavailable> {
        let view = self.0.ledger.limit(LimitRef::Name(name.clone()), Scope::All).await?;
        Ok(view.map_or(0, |view| view.unleased.slots_taken()))
    }
}
