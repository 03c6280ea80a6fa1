//! Does what the custody decided.

use std::sync::Arc;

use leasehold_engine::{
    Adopt, CreateLimit, Created, Level, LimitId, LimitRef, Page, Rate, Scope, Updated,
};
use leasehold_gateway::{Act, Done, Failure};
use leasehold_node::Unavailable;

use super::Migration;

/// Before the first release, as Prefect has it: no answer of the upstream says the average.
const OCCUPANCY_SECONDS: f64 = 2.0;

impl Migration {
    pub(super) async fn act(&self, act: &Act) -> Done {
        match act {
            Act::Adopt { limit, foreign, level } => self.adopt(limit, *foreign, *level).await,
            Act::SetForeign { limit, slots, rose } => self.set_foreign(limit, *slots, *rose).await,
            Act::SetReturning { limit, returning } => self.set_returning(limit, *returning).await,
            Act::Cover { limit, phantoms } => self.cover(limit, *phantoms).await,
            Act::Uncover { limit } => self.uncover(limit).await,
            Act::Retire { limit } => self.retire(limit).await,
        }
    }

    async fn adopt(&self, name: &Arc<str>, foreign: u64, level: u64) -> Done {
        let Some(row) = self.state().rows.get(name).cloned() else {
            return Done::No(Failure::Gone);
        };
        let adopt = Adopt {
            limit: CreateLimit {
                active: row.active,
                decay: Rate::from_slots_per_second(row.slot_decay_per_second),
                ..CreateLimit::new(row.id(), name.clone(), row.limit)
            },
            foreign,
            occupancy_seconds_average: OCCUPANCY_SECONDS,
            level: Level::from_slots(level),
        };
        match self.0.ledger.adopt(adopt).await {
            Ok(Created::Made(_) | Created::Changed(_)) => {
                self.state().adopted(row.id(), name);
                tracing::info!(limit = %name, foreign, "Leasehold grants this limit now");
                self.remember(name).await;
                Done::Yes
            }
            Ok(Created::NameTaken) | Err(Unavailable::TooManyLimits) => Done::No(Failure::Ledger),
            Err(_) => Done::Again,
        }
    }

    async fn set_foreign(&self, name: &Arc<str>, slots: u64, rose: u64) -> Done {
        if rose > 0 {
            tracing::warn!(
                limit = %name,
                slots,
                rose,
                "the Prefect server counts more slots than before: a client talks to it past this \
                 gateway. They count here as well. Close its port to clients"
            );
        }
        let Some(id) = self.id_of(name) else { return Done::Yes };
        match self.0.ledger.set_foreign(id, slots).await {
            Ok(_) => Done::Yes,
            Err(_) => Done::Again,
        }
    }

    async fn set_returning(&self, name: &Arc<str>, returning: bool) -> Done {
        let Some(id) = self.id_of(name) else { return Done::Yes };
        match self.0.ledger.set_returning(id, returning).await {
            Ok(Updated::Done | Updated::NotFound) => Done::Yes,
            Ok(Updated::NameTaken) | Err(_) => Done::Again,
        }
    }

    /// Deletes a limit in the ledger if nothing is held on it. Only slots that drain may be left:
    /// the upstream has their level.
    async fn retire(&self, name: &Arc<str>) -> Done {
        let limit = LimitRef::Name(name.clone());
        let held = match self.0.ledger.held(limit.clone(), Page { offset: 0, limit: 1 }).await {
            Ok(Some(held)) => held,
            Ok(None) => return Done::Yes,
            Err(_) => return Done::Again,
        };
        let is_empty =
            held.leases.is_empty() && (held.unleased.is_empty() || !held.decay.is_none());
        if !is_empty {
            return Done::Again;
        }
        match self.0.ledger.delete_limit(limit, Scope::All).await {
            Ok(_) => {
                tracing::info!(limit = %name, "the limit is back at the Prefect server");
                Done::Yes
            }
            Err(_) => Done::Again,
        }
    }

    pub(super) fn id_of(&self, name: &str) -> Option<LimitId> {
        let state = self.state();
        let known = state.custody.known();
        known.iter().find(|known| &*known.name == name).map(|known| known.id)
    }

    /// Stores how many phantoms of a limit were dropped.
    pub(super) async fn remember(&self, name: &str) {
        let dropped = {
            let state = self.state();
            let known = state.custody.known();
            let dropped = known
                .iter()
                .map(|known| (known.id, state.custody.standing(&known.name).dropped))
                .filter(|(_, slots)| *slots > 0);
            dropped.collect()
        };
        if let Err(error) = self.0.memory.save(dropped).await {
            tracing::error!(%error, limit = name, "which phantoms were dropped cannot be stored");
        }
    }
}
