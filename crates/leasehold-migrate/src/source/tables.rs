//! Limits in Prefect's tables, in each of their three shapes.

use std::collections::BTreeSet;

use leasehold_engine::{Rate, Timestamp};
use uuid::Uuid;

use crate::database::{Database, Row};
use crate::error::Error;
use crate::holder_lease::holder_lease;
use crate::moment;
use crate::prefect::{Deployment, Holder, Inventory, Lease, Limit};
use crate::revision::Shape;

/// Reads limits, the holders that the tables name, and deployments.
pub(super) async fn read(database: &Database, insist: bool) -> Result<Inventory, Error> {
    let (revision, shape) = database.shape(insist).await?;
    let version = format!("revision {revision}");
    let mut inventory = Inventory { version, shape: Some(shape), ..Inventory::default() };
    if shape != Shape::TagsOnly {
        inventory.limits = limits(database).await?;
    }
    if !database.columns("concurrency_limit").await?.is_empty() {
        tags(database, shape, &mut inventory).await?;
    }
    inventory.deployments = deployments(database).await?;
    inventory.leases.extend(deployments_leases(database, &inventory).await?);
    Ok(inventory)
}

async fn limits(database: &Database) -> Result<Vec<Limit>, Error> {
    let rows = database.rows(
        "SELECT id, created, updated, active, name, \"limit\", active_slots, denied_slots, \
         slot_decay_per_second, avg_slot_occupancy_seconds FROM concurrency_limit_v2",
    );
    let rows = rows.await?;
    rows.into_iter()
        .map(|row| Columns::new(database, "concurrency_limit_v2", row).limit())
        .collect()
}

/// Limits of tags in their own table, with the task runs that hold them.
async fn tags(database: &Database, shape: Shape, to: &mut Inventory) -> Result<(), Error> {
    let rows = database
        .rows("SELECT id, created, updated, tag, concurrency_limit, active_slots FROM concurrency_limit")
        .await?;
    for row in rows {
        let columns = Columns::new(database, "concurrency_limit", row);
        let (id, updated) = (columns.uuid(0)?, columns.time(2)?);
        let name = format!("tag:{}", columns.text(3)?);
        let slots = columns.number(4)?;
        let holders: Vec<Uuid> = serde_json::from_str(columns.text(5)?)
            .map_err(|error| columns.damaged("active_slots", &error.to_string()))?;
        if let Some(at) = to.limits.iter().position(|limit| limit.name == name) {
            to.notes.push(format!(
                "{name} is in both tables; the server used {}",
                if shape == Shape::OneTable { "concurrency_limit_v2" } else { "concurrency_limit" }
            ));
            if shape == Shape::OneTable {
                continue;
            }
            to.limits.remove(at);
        }
        to.leases.extend(holders.iter().map(|run| holder_lease(id, *run, updated, None)));
        to.limits.push(Limit {
            id,
            name,
            slots,
            active: true,
            taken: holders.len() as u64,
            counted_at: updated,
            denied: 0,
            decay: Rate::NONE,
            occupancy_seconds_average: leasehold_engine::Limit::OCCUPANCY_SECONDS_AT_FIRST,
            created: columns.time(1)?,
            updated,
        });
    }
    Ok(())
}

async fn deployments(database: &Database) -> Result<Vec<Deployment>, Error> {
    let columns = database.columns("deployment").await?;
    if !columns.contains("concurrency_limit_id") {
        return Ok(Vec::new());
    }
    let rows = database
        .rows("SELECT id, name, concurrency_limit_id FROM deployment WHERE concurrency_limit_id IS NOT NULL")
        .await?;
    let read = |row| {
        let columns = Columns::new(database, "deployment", row);
        let (id, name) = (columns.uuid(0)?, columns.text(1)?.to_owned());
        Ok(Deployment { id, name, limit: Some(columns.uuid(2)?) })
    };
    rows.into_iter().map(read).collect()
}

/// The leases of deployments' limits, which the states of their flow runs name. What they hold is
/// not in the tables: a deployment's lease has one slot of its own limit.
async fn deployments_leases(
    database: &Database,
    inventory: &Inventory,
) -> Result<Vec<Lease>, Error> {
    if inventory.deployments.is_empty() {
        return Ok(Vec::new());
    }
    let rows = database
        .rows(
            "SELECT r.id, r.deployment_id, s.state_details, s.timestamp FROM flow_run r \
             JOIN flow_run_state s ON s.id = r.state_id \
             WHERE r.state_type IN ('PENDING', 'RUNNING', 'CANCELLING') \
             AND r.deployment_id IS NOT NULL",
        )
        .await?;
    let mut leases = Vec::new();
    for row in rows {
        let columns = Columns::new(database, "flow_run", row);
        let (run, deployment) = (columns.uuid(0)?, columns.uuid(1)?);
        let details: serde_json::Value =
            serde_json::from_str(columns.text(2)?).unwrap_or(serde_json::Value::Null);
        let id = details["deployment_concurrency_lease_id"].as_str();
        let limit = inventory.deployments.iter().find(|known| known.id == deployment);
        if let Some((id, limit)) = id
            .and_then(|id| Uuid::parse_str(id).ok())
            .zip(limit.and_then(|deployment| deployment.limit))
        {
            let created = columns.time(3)?;
            let holder = Some(Holder::flow_run(run));
            leases.push(Lease {
                id,
                limits: vec![limit],
                slots: 1,
                holder,
                created,
                deadline: Some(created + crate::holder_lease::USUAL_TTL),
            });
        }
    }
    Ok(leases)
}

/// The columns of a row, and which row it is.
pub(super) struct Columns<'a> {
    database: &'a Database,
    table: &'static str,
    row: Row,
}

impl<'a> Columns<'a> {
    pub(super) fn new(database: &'a Database, table: &'static str, row: Row) -> Self {
        Self { database, table, row }
    }

    fn limit(&self) -> Result<Limit, Error> {
        let decay = self.real(8, 0.0)?;
        let updated = self.time(2)?;
        Ok(Limit {
            id: self.uuid(0)?,
            name: self.text(4)?.to_owned(),
            slots: self.number(5)?,
            active: matches!(self.text(3)?, "1" | "t" | "true"),
            taken: self.number(6)?,
            counted_at: updated,
            denied: self.number(7)?,
            decay: Rate::from_slots_per_second(decay),
            occupancy_seconds_average: self.real(9, 2.0)?,
            created: self.time(1)?,
            updated,
        })
    }

    fn damaged(&self, column: &str, reason: &str) -> Error {
        let row = self.row.first().and_then(Option::as_deref).unwrap_or("?");
        Error::Damaged {
            place: self.database.place().to_owned(),
            what: format!("{column} in the row {row} of {}", self.table),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn text(&self, at: usize) -> Result<&str, Error> {
        let text = self.row.get(at).and_then(Option::as_deref);
        text.ok_or_else(|| self.damaged(&format!("column {at}"), "it is empty"))
    }

    pub(super) fn optional(&self, at: usize) -> Option<&str> {
        self.row.get(at).and_then(Option::as_deref)
    }

    pub(super) fn uuid(&self, at: usize) -> Result<Uuid, Error> {
        let text = self.text(at)?;
        Uuid::parse_str(text).map_err(|error| self.damaged(text, &error.to_string()))
    }

    pub(super) fn time(&self, at: usize) -> Result<Timestamp, Error> {
        let text = self.text(at)?;
        moment::parse(text).ok_or_else(|| self.damaged(text, "it is no time"))
    }

    /// A number of slots. Prefect's own can fall below zero, which is none.
    fn number(&self, at: usize) -> Result<u64, Error> {
        let text = self.text(at)?;
        let number: i64 = text.parse().map_err(|_| self.damaged(text, "it is no number"))?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    fn real(&self, at: usize, missing: f64) -> Result<f64, Error> {
        let Some(text) = self.optional(at) else { return Ok(missing) };
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| self.damaged(text, "it is no number"))
    }
}

/// Ids as a list for `IN`. They are UUIDs, so nothing in them needs a quote.
pub(super) fn list_of(ids: &[Uuid]) -> String {
    let ids: BTreeSet<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    ids.into_iter().collect::<Vec<_>>().join(", ")
}
