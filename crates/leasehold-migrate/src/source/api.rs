//! Limits and holders by the API of a running server. It tells who holds tags, and of other limits
//! only how many slots are taken.

use std::collections::BTreeSet;

use leasehold_engine::{Rate, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::Api;
use crate::error::Error;
use crate::holder_lease::{USUAL_TTL, holder_lease};
use crate::moment;
use crate::prefect::{Deployment, Inventory, Limit};

/// Reads limits, the holders of tags, and deployments.
pub(super) async fn read(
    api: &Api,
    now: Timestamp,
    progress: &mut impl FnMut(&str),
) -> Result<Inventory, Error> {
    let version = api.version().await?;
    let mut inventory = Inventory { version, ..Inventory::default() };
    for limit in api.pages("/v2/concurrency_limits/filter").await? {
        inventory.limits.push(limit_of(api, &limit, now)?);
    }
    progress(&format!("reading the holders of tags; {} limits so far", inventory.limits.len()));
    tags(api, now, &mut inventory).await?;
    inventory.deployments = deployments(api).await?;
    Ok(inventory)
}

/// A server picks the tags from a page of all limits after it has cut it (contract, C3). So a short
/// page is not the last one, unless it begins beyond all limits.
async fn tags(api: &Api, now: Timestamp, inventory: &mut Inventory) -> Result<(), Error> {
    const PAGE: usize = 200;
    let has_one_table = inventory.limits.iter().any(|limit| limit.tag().is_some());
    // Holders that renew have a lease that is not told; those of older servers cannot renew.
    let deadline = has_one_table.then_some(now + USUAL_TTL);
    let mut seen = BTreeSet::new();
    let mut offset = 0;
    loop {
        let body = json!({ "limit": PAGE, "offset": offset });
        let page = api.list("/concurrency_limits/filter", body).await?;
        let is_last = page.is_empty() && offset >= inventory.limits.len();
        for tag in page {
            let Some(id) = uuid(&tag["id"]).filter(|id| seen.insert(*id)) else { continue };
            let holders: Vec<Uuid> =
                tag["active_slots"].as_array().into_iter().flatten().filter_map(uuid).collect();
            inventory
                .leases
                .extend(holders.iter().map(|run| holder_lease(id, *run, now, deadline)));
            if inventory.limits.iter().all(|limit| limit.id != id) {
                let taken = holders.len() as u64;
                inventory.limits.push(tag_limit(api, &tag, id, taken)?);
            }
        }
        if is_last {
            return Ok(());
        }
        offset += PAGE;
    }
}

fn tag_limit(api: &Api, tag: &Value, id: Uuid, taken: u64) -> Result<Limit, Error> {
    let read = Reader { api, object: tag };
    let updated = read.time("updated")?;
    Ok(Limit {
        id,
        name: format!("tag:{}", read.text("tag")?),
        slots: read.number("concurrency_limit")?,
        active: true,
        taken,
        counted_at: updated,
        denied: 0,
        decay: Rate::NONE,
        occupancy_seconds_average: leasehold_engine::Limit::OCCUPANCY_SECONDS_AT_FIRST,
        created: read.time("created")?,
        updated,
    })
}

/// Its count has drained already when it is answered.
fn limit_of(api: &Api, limit: &Value, now: Timestamp) -> Result<Limit, Error> {
    let read = Reader { api, object: limit };
    Ok(Limit {
        id: uuid(&limit["id"]).ok_or_else(|| read.damaged("id"))?,
        name: read.text("name")?.to_owned(),
        slots: read.number("limit")?,
        active: limit["active"].as_bool().ok_or_else(|| read.damaged("active"))?,
        taken: limit["active_slots"].as_i64().and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        counted_at: now,
        denied: limit["denied_slots"].as_u64().unwrap_or(0),
        decay: Rate::from_slots_per_second(limit["slot_decay_per_second"].as_f64().unwrap_or(0.0)),
        occupancy_seconds_average: limit["avg_slot_occupancy_seconds"]
            .as_f64()
            .unwrap_or(leasehold_engine::Limit::OCCUPANCY_SECONDS_AT_FIRST),
        created: read.time("created")?,
        updated: read.time("updated")?,
    })
}

/// Older servers, and Leasehold, serve no deployments with limits.
async fn deployments(api: &Api) -> Result<Vec<Deployment>, Error> {
    let deployments = match api.pages("/deployments/filter").await {
        Err(Error::NoPrefect { .. } | Error::Refused { .. }) => return Ok(Vec::new()),
        deployments => deployments?,
    };
    let read = |deployment: &Value| {
        let limit = uuid(&deployment["global_concurrency_limit"]["id"])?;
        let name = deployment["name"].as_str().unwrap_or_default().to_owned();
        Some(Deployment { id: uuid(&deployment["id"])?, name, limit: Some(limit) })
    };
    Ok(deployments.iter().filter_map(read).collect())
}

fn uuid(value: &Value) -> Option<Uuid> {
    value.as_str().and_then(|text| Uuid::parse_str(text).ok())
}

struct Reader<'a> {
    api: &'a Api,
    object: &'a Value,
}

impl<'a> Reader<'a> {
    fn text(&self, name: &str) -> Result<&'a str, Error> {
        self.object[name].as_str().ok_or_else(|| self.damaged(name))
    }

    fn number(&self, name: &str) -> Result<u64, Error> {
        self.object[name].as_u64().ok_or_else(|| self.damaged(name))
    }

    fn time(&self, name: &str) -> Result<Timestamp, Error> {
        moment::parse(self.text(name)?).ok_or_else(|| self.damaged(name))
    }

    fn damaged(&self, name: &str) -> Error {
        Error::Damaged {
            place: self.api.place().to_owned(),
            what: format!("{name} of a limit"),
            reason: self.object.to_string(),
        }
    }
}
