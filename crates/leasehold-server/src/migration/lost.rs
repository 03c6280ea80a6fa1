//! Covers that the upstream was asked for, and whose ids a crash or a lost answer has lost. How
//! many they are at most is stored before the upstream is asked.

use leasehold_engine::{LimitId, Span, Timestamp};
use leasehold_gateway::Suspects;

use super::{Migration, prefect};

/// How long the upstream counts a cover that nobody renews: its lease, and the next sweep.
const COVER: Span = Span::from_seconds(660);

impl Migration {
    /// The upstream is about to be asked for covers of so many slots.
    pub(super) async fn covers_asked(&self, limit: LimitId, slots: u64) {
        if slots == 0 {
            return;
        }
        let now = self.0.ledger.clock().now();
        self.state().lost.entry(limit).or_default().asked(slots, now);
        self.store_lost().await;
    }

    /// It is known of so many of these slots whether the upstream counts them.
    pub(super) async fn covers_known(&self, limit: LimitId, slots: u64) {
        if slots == 0 {
            return;
        }
        self.state().lost.entry(limit).or_default().known(slots);
        self.store_lost().await;
    }

    /// What a process before this one did not come to know.
    pub(super) fn load_lost(&self, now: Timestamp) -> Vec<(LimitId, u64, Timestamp)> {
        self.0.covers_file.load().into_iter().map(|(limit, slots)| (limit, slots, now)).collect()
    }

    /// Gives back slots that nobody holds, and that were taken for covers whose ids are lost.
    pub(super) async fn give_back_lost(&self) {
        let now = self.0.ledger.clock().now();
        let due: Vec<_> = {
            let mut state = self.state();
            let all: Vec<_> = state.lost.iter().map(|(limit, lost)| (*limit, *lost)).collect();
            let due = all.into_iter().filter_map(|(limit, lost)| {
                let row = state.rows.values().find(|row| row.id() == limit)?;
                let name = row.name.clone();
                let unexplained = state.suspects.get(&name).map_or(0, Suspects::unexplained);
                if lost.to_give_back(u64::MAX, COVER, now) > 0 && unexplained == 0 {
                    // They have run out.
                    return Some((limit, name, 0, lost.slots()));
                }
                let slots = lost.to_give_back(state.phantoms(&name, now), COVER, now);
                (slots > 0).then_some((limit, name, slots, slots))
            });
            let due: Vec<_> = due.collect();
            for (limit, _, _, known) in &due {
                if let Some(lost) = state.lost.get_mut(limit) {
                    lost.known(*known);
                }
            }
            due
        };
        if due.is_empty() {
            return;
        }
        // Stored first, so that a crash does not make the next process give them back again.
        self.store_lost().await;
        for (limit, name, slots, _) in due.into_iter().filter(|(.., slots, _)| *slots > 0) {
            match prefect::give_back(&self.0.upstream, &name, slots).await {
                Ok(()) => {
                    self.count_soon();
                    tracing::warn!(
                        limit = %name,
                        slots,
                        "Leasehold took them at the Prefect server before it was interrupted, and \
                         nobody holds them: they are given back"
                    );
                }
                Err(error) if error.was_not_sent() => {
                    self.state().lost.entry(limit).or_default().asked(slots, now);
                    self.store_lost().await;
                }
                Err(error) => {
                    tracing::warn!(%error, limit = %name, slots, "slots may stay counted there");
                }
            }
        }
    }

    async fn store_lost(&self) {
        let lost = {
            let mut state = self.state();
            state.lost.retain(|_, lost| lost.slots() > 0);
            state.lost.iter().map(|(limit, lost)| (*limit, lost.slots())).collect()
        };
        if let Err(error) = self.0.covers_file.save(lost).await {
            tracing::error!(%error, "which covers are under way cannot be stored");
        }
    }
}
