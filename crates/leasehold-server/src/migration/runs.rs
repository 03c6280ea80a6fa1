//! Task runs whose tags the upstream takes and gives back itself, together with the run. Our lease
//! holds the same slots here, and they are no foreign ones.

use leasehold_engine::{LeaseId, LimitId};
use uuid::Uuid;

use super::partners::{Kind, Paired, Partner};
use super::{Migration, State};

/// A run that is about to leave its tags.
pub(crate) struct Ending {
    run: Uuid,
    lease: LeaseId,
    covers: Vec<Paired>,
}

impl Migration {
    /// The upstream is about to take these limits with a run.
    pub(crate) fn run_begins(&self, limits: &[LimitId]) {
        let mut state = self.state();
        for limit in limits {
            state.on_cover(*limit, |custody, name| custody.cover_asked(name, 1));
        }
    }

    /// The upstream has taken them, if there is a lease; else it has not. Returns whether our lease
    /// stays.
    pub(crate) async fn run_began(
        &self,
        lease: Option<LeaseId>,
        run: Uuid,
        limits: &[LimitId],
    ) -> bool {
        let cover = |limit: &LimitId| Partner::Cover(*limit, Kind::WithTaskRun);
        let covers = limits.iter().map(|limit| Paired { partner: cover(limit), slots: 1 });
        let is_there = match lease {
            Some(lease) => self.pair(lease, covers.collect()).await == Ok(true),
            None => false,
        };
        let mut state = self.state();
        for limit in limits {
            state.on_cover(*limit, |custody, name| match is_there {
                true => custody.cover_taken(name, 1),
                false => custody.cover_over(name, 1),
            });
        }
        if let Some(lease) = lease.filter(|_| is_there) {
            state.runs.insert(run, lease);
        }
        is_there
    }

    /// A run proposes a state in which it holds no tags. `None` if it holds none here.
    pub(crate) fn run_ends(&self, run: Uuid) -> Option<Ending> {
        let mut state = self.state();
        let lease = state.runs.remove(&run)?;
        let covers = state.partners.remove(&lease)?;
        state.leave(&covers);
        Some(Ending { run, lease, covers })
    }

    /// The upstream has answered the state.
    pub(crate) async fn run_ended(&self, ending: Ending, is_accepted: bool) {
        let Ending { run, lease, covers } = ending;
        if is_accepted {
            self.state().are_over(&covers);
            if let Err(error) = self.0.ledger.release(lease).await {
                tracing::warn!(%error, "a task run is over, and may still hold its tags");
            }
            return;
        }
        let mut state = self.state();
        state.stay(&covers);
        state.partners.insert(lease, covers);
        state.runs.insert(run, lease);
    }
}

impl State {
    fn leave(&mut self, covers: &[Paired]) {
        for Paired { partner, slots } in covers {
            if let Partner::Cover(limit, _) = partner {
                self.on_cover(*limit, |custody, name| custody.cover_leaves(name, *slots));
            }
        }
    }

    fn are_over(&mut self, covers: &[Paired]) {
        for Paired { partner, slots } in covers {
            if let Partner::Cover(limit, _) = partner {
                self.on_cover(*limit, |custody, name| custody.cover_over(name, *slots));
            }
        }
    }

    fn stay(&mut self, covers: &[Paired]) {
        for Paired { partner, slots } in covers {
            if let Partner::Cover(limit, _) = partner {
                self.on_cover(*limit, |custody, name| custody.cover_taken(name, *slots));
            }
        }
    }

    fn on_cover(
        &mut self,
        limit: LimitId,
        change: impl FnOnce(&mut leasehold_gateway::Custody, &str),
    ) {
        if let Some(name) = self.names.get(&limit) {
            change(&mut self.custody, name);
        }
    }
}
