//! What the upstream says of a limit of ours besides its count. An edit changes the upstream first,
//! and the ledger then, so the upstream always has the last word: where the two differ, an edit was
//! interrupted or went past this gateway, and the ledger follows.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leasehold_engine::{Limit, LimitId, LimitPatch, LimitRef, Rate, Scope, Span, Updated};
use leasehold_gateway::Known;
use tokio::sync::{Mutex, MutexGuard};

use super::prefect::{self, Row};
use super::{Migration, State};

/// How often the deployments are read while a limit is ours.
const DEPLOYMENTS_INTERVAL: Span = Span::from_seconds(15);

/// The edits through this gateway. They go one after the other, so that both sides see them in the
/// same order.
#[derive(Default)]
pub(super) struct Edits {
    turn: Mutex<()>,
    number: AtomicU64,
}

/// An edit that is under way.
pub(crate) struct Editing<'edits> {
    number: &'edits AtomicU64,
    _turn: MutexGuard<'edits, ()>,
}

/// What was said of limits, so that it is said once.
#[derive(Default)]
pub(super) struct Warnings {
    /// The names that the ledger refused.
    names: HashMap<LimitId, Arc<str>>,
    /// The limits of ours that the upstream does not have.
    gone: HashMap<LimitId, Arc<str>>,
}

impl Edits {
    /// How many have begun or ended.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }
}

impl Drop for Editing<'_> {
    fn drop(&mut self) {
        self.number.fetch_add(1, Ordering::SeqCst);
    }
}

impl Migration {
    /// Begins an edit of a limit, after those before it have ended.
    pub(crate) async fn edit(&self) -> Editing<'_> {
        let Edits { turn, number } = &self.0.edits;
        let turn = turn.lock().await;
        number.fetch_add(1, Ordering::SeqCst);
        Editing { number, _turn: turn }
    }

    /// Changes the ledger's limits where the upstream's rows differ. `edits` is their number before
    /// the rows were read: a reading that an edit overlaps says nothing.
    pub(super) async fn agree(&self, edits: u64) {
        let Ok(_turn) = self.0.edits.turn.try_lock() else { return };
        if self.0.edits.number() != edits || !self.state().custody.has_any() {
            return;
        }
        let Ok(views) = self.limits_here().await else { return };
        for view in &views {
            let (limit, patch) = (&view.limit, self.state().difference(&view.limit));
            let Some(patch) = patch else { continue };
            let updated = self.0.ledger.update_limit(LimitRef::Id(limit.id), patch.clone()).await;
            match updated {
                Ok(Updated::Done) => {
                    if let Some(name) = &patch.name {
                        self.renamed(&limit.name, name);
                    }
                    tracing::warn!(
                        limit = %limit.name,
                        changed = %words(&patch),
                        "the Prefect server had another value, from an edit that was interrupted \
                         or did not come through this gateway; its value holds here as well now"
                    );
                }
                Ok(Updated::NameTaken) => self.state().refused_name(limit.id, patch.name),
                Ok(Updated::NotFound) | Err(_) => {}
            }
        }
        let there: Vec<_> = views.iter().map(|view| view.limit.id).collect();
        let absent = self.state().absent(&there);
        for Known { name, id } in absent {
            // It was ours before this question, so it had come already.
            if let Ok(None) = self.0.ledger.limit(LimitRef::Id(id), Scope::All).await {
                self.state().custody.deleted(&name);
            }
        }
    }

    /// Gives back the limits of ours that a deployment refers to. It was saved past this gateway,
    /// which refuses such a deployment: the upstream takes slots of its limit when it starts a run,
    /// so both sides would grant the limit.
    pub(super) async fn give_back_named(&self) {
        let now = self.0.ledger.clock().now();
        let is_due = {
            let state = self.state();
            let read = state.deployments_read;
            state.has_answered
                && state.custody.has_any()
                && read.is_none_or(|read| now.since(read) >= DEPLOYMENTS_INTERVAL)
        };
        if !is_due {
            return;
        }
        self.state().deployments_read = Some(now);
        let Ok(of_deployments) = prefect::of_deployments(&self.0.upstream).await else { return };
        let mut state = self.state();
        for (name, why) in state.pinned(&of_deployments) {
            if state.custody.is_ours(&name) && state.custody.roll_back(&name, now).is_ok() {
                tracing::warn!(limit = %name, "it goes back to the Prefect server: {why}");
            }
        }
        state.of_deployments = of_deployments;
    }
}

impl State {
    /// The upstream's row of a limit: the one with its id, or one with its name.
    pub(super) fn row(&self, id: LimitId, name: &str) -> Option<&Row> {
        self.rows.values().find(|row| row.id() == id).or_else(|| self.rows.get(name))
    }

    /// What the ledger has to change of a limit, if anything. One that moves is left alone.
    fn difference(&mut self, limit: &Limit) -> Option<LimitPatch> {
        let standing = self.custody.standing(&limit.name);
        if standing.is_moving || !self.custody.is_known(&limit.name) {
            return None;
        }
        let Some(row) = self.row(limit.id, &limit.name).cloned() else {
            let told = self.warnings.gone.insert(limit.id, limit.name.clone());
            if told.is_none() {
                tracing::warn!(
                    limit = %limit.name,
                    "the Prefect server does not have this limit any more, and Leasehold goes on \
                     granting it: create it there again, or delete it here"
                );
            }
            return None;
        };
        self.warnings.gone.remove(&limit.id);
        let decay = Rate::from_slots_per_second(row.slot_decay_per_second);
        let is_refused = self.warnings.names.get(&limit.id) == Some(&row.name);
        let patch = LimitPatch {
            name: (row.name != limit.name && !is_refused).then(|| row.name.clone()),
            slots: (row.limit != limit.slots).then_some(row.limit),
            active: (row.active != limit.active).then_some(row.active),
            decay: (decay != limit.decay).then_some(decay),
            ..LimitPatch::default()
        };
        (!words(&patch).is_empty()).then_some(patch)
    }

    /// The ledger has another limit with this name. All else is changed at the next reading.
    fn refused_name(&mut self, limit: LimitId, name: Option<Arc<str>>) {
        let Some(name) = name else { return };
        tracing::warn!(
            limit = %name,
            "the Prefect server renamed a limit of Leasehold, and another limit here has that name: \
             rename one of them"
        );
        self.warnings.names.insert(limit, name);
    }

    /// The limits of ours that are not among those of the ledger. Requests for them would be sent
    /// there in vain.
    fn absent(&mut self, there: &[LimitId]) -> Vec<Known> {
        self.warnings.gone.retain(|id, _| there.contains(id));
        self.warnings.names.retain(|id, _| there.contains(id));
        let mut absent = self.custody.known();
        absent.retain(|known| {
            !self.custody.standing(&known.name).is_moving && !there.contains(&known.id)
        });
        absent
    }
}

fn words(patch: &LimitPatch) -> String {
    let changes = [
        patch.name.as_ref().map(|name| format!("name '{name}'")),
        patch.slots.map(|slots| format!("{slots} slots")),
        patch.active.map(|active| if active { "active" } else { "inactive" }.to_owned()),
        patch.decay.map(|decay| format!("{} slots per second", decay.as_slots_per_second())),
    ];
    changes.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
