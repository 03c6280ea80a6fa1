//! Reads a Prefect server: by its API, or by its database; and its leases beside it.

mod api;
mod files;
mod lease_json;
mod redis;
mod runs;
mod tables;

use std::collections::BTreeSet;

use leasehold_engine::Timestamp;

use crate::api::Api;
use crate::database::{Access, Database};
use crate::error::Error;
use crate::place::{LeasePlace, Place};
use crate::prefect::{Holder, Inventory, Lease};

/// How a server is read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Where its leases are, if they are not in its memory.
    pub leases: Option<LeasePlace>,
    /// Go on with a revision that is not known.
    pub insist: bool,
}

/// Reads a server. Nothing is written there.
///
/// # Errors
///
/// See [`Error`].
pub async fn read(
    place: &Place,
    api: Option<&Api>,
    reading: &Reading,
    now: Timestamp,
    mut progress: impl FnMut(&str),
) -> Result<Inventory, Error> {
    progress(&format!("reading {place}"));
    let database = Database::open(place, Access::Read).await?;
    let mut inventory = match (&database, api) {
        (Some(database), _) => tables::read(database, reading.insist).await?,
        (None, Some(api)) => api::read(api, now, &mut progress).await?,
        (None, None) => Inventory::default(),
    };
    inventory.place = place.to_string();
    if let Some(leases) = &reading.leases {
        progress(&format!("reading the leases in {leases}"));
        let mut found = match leases {
            LeasePlace::Files(path) => files::read(path, &mut inventory.notes)?,
            LeasePlace::Redis(url) => redis::read(url, leases, &mut inventory.notes).await?,
        };
        name_deployments_holders(&mut found, &inventory.leases);
        merge(&mut inventory, found);
    }
    let holders: BTreeSet<Holder> =
        inventory.leases.iter().filter_map(|lease| lease.holder.clone()).collect();
    let missing: Vec<_> =
        holders.into_iter().filter(|holder| !inventory.runs.contains_key(holder)).collect();
    progress(&format!("reading the states of {} runs", missing.len()));
    let runs = match (&database, api) {
        (Some(database), _) => runs::from_tables(database, &missing).await?,
        (None, Some(api)) => runs::from_api(api, &missing).await?,
        (None, None) => Vec::new(),
    };
    if let Some(database) = database {
        database.close().await;
    }
    inventory.runs.extend(runs);
    inventory.limits.sort_by(|a, b| a.name.cmp(&b.name));
    inventory.leases.sort_by_key(|lease| (lease.created, lease.id));
    Ok(inventory)
}

/// A deployment's lease names no holder: the state of its flow run names the lease.
fn name_deployments_holders(found: &mut [Lease], known: &[Lease]) {
    for lease in found.iter_mut().filter(|lease| lease.holder.is_none()) {
        let same = known.iter().find(|known| known.id == lease.id);
        lease.holder = same.and_then(|known| known.holder.clone());
    }
}

/// The storage of leases knows more of a lease than a list of holders does.
fn merge(inventory: &mut Inventory, found: Vec<Lease>) {
    inventory.leases.retain(|known| {
        !found.iter().any(|lease| {
            lease.id == known.id
                || lease.holder == known.holder
                    && known.limits.iter().all(|limit| lease.limits.contains(limit))
        })
    });
    inventory.leases.extend(found);
}
