//! Writes an export into Prefect's tables and its files of leases.

use std::path::Path;

use leasehold_engine::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{ExportLimit, ExportPlan, Way, lease_files};
use crate::database::{Access, Database, Kind};
use crate::error::Error;
use crate::place::Place;
use crate::plan::Fate;
use crate::prefect::Holder;
use crate::revision::Shape;

/// Carries out a plan: the files of leases, and the tables in one transaction.
///
/// # Errors
///
/// See [`Error`]. Nothing is changed then.
pub async fn export_to_database(
    plan: &ExportPlan,
    place: &Place,
    lease_directory: Option<&Path>,
    insist: bool,
) -> Result<(), Error> {
    let Some(database) = Database::open(place, Access::Write).await? else { return Ok(()) };
    let (_, shape) = database.shape(insist).await?;
    let writer = Writer { database, now: plan.at };
    for limit in &plan.limits {
        let is_tag = limit.source.tag().is_some() && shape != Shape::OneTable;
        if is_tag {
            writer.write_tag(limit, &task_runs(plan, limit.id)).await?;
        } else {
            writer.write_limit(limit).await?;
        }
    }
    // The tables are committed last: a lease that is counted twice is worse than none.
    let leases = plan.holders.iter().filter(|holder| holder.way == Way::Lease);
    let written = match lease_directory {
        Some(directory) => {
            lease_files::write(directory, leases.map(|holder| &holder.source), plan.at)?
        }
        None => Vec::new(),
    };
    let committed = writer.database.commit().await;
    if committed.is_err() {
        lease_files::remove(&written);
    }
    committed
}

/// The task runs that hold a tag.
fn task_runs(plan: &ExportPlan, limit: Uuid) -> Vec<Uuid> {
    let on =
        |it: &&super::ExportHolder| it.way == Way::TaskRun && it.source.limits.contains(&limit);
    let holders = plan.holders.iter().filter(on).filter_map(|it| it.holder.as_ref());
    holders.filter(|holder| holder.kind == Holder::TASK_RUN).map(|holder| holder.id).collect()
}

struct Writer {
    database: Database,
    now: Timestamp,
}

impl Writer {
    async fn write_limit(&self, limit: &ExportLimit) -> Result<(), Error> {
        let (source, text) = (&limit.source, |kind, text: String| (kind, Some(text)));
        let time = |at| text(Kind::Time, self.database.time(at));
        let number = |number: u64| text(Kind::Integer, number.to_string());
        let active = text(Kind::Boolean, self.database.boolean(source.active));
        let id = text(Kind::Uuid, limit.id.to_string());
        let decay = text(Kind::Real, source.decay.as_slots_per_second().to_string());
        match &limit.fate {
            Fate::Create => {
                let sql = "INSERT INTO concurrency_limit_v2 (id, created, updated, active, name, \
                     \"limit\", active_slots, denied_slots, slot_decay_per_second, \
                     avg_slot_occupancy_seconds) VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {})";
                let average = source.occupancy_seconds_average.to_string();
                let values = [
                    id,
                    time(source.created),
                    time(self.now),
                    active,
                    text(Kind::Text, source.name.clone()),
                    number(source.slots),
                    number(limit.taken.unwrap_or(0)),
                    number(source.denied),
                    decay,
                    text(Kind::Real, average),
                ];
                self.database.execute(sql, &values).await?;
            }
            Fate::Replace(_) => {
                let sql = "UPDATE concurrency_limit_v2 SET updated = {}, active = {}, \"limit\" = {}, \
                     slot_decay_per_second = {} WHERE id = {}";
                let values = [time(self.now), active, number(source.slots), decay, id.clone()];
                self.database.execute(sql, &values).await?;
                self.count(limit, id).await?;
            }
            Fate::Same | Fate::Skip(_) => self.count(limit, id).await?,
            Fate::Conflict(_) | Fate::LeaveOut(_) => {}
        }
        Ok(())
    }

    /// Writes how many slots are taken. A rate limit drains from then on.
    async fn count(&self, limit: &ExportLimit, id: (Kind, Option<String>)) -> Result<(), Error> {
        let Some(taken) = limit.taken else { return Ok(()) };
        let sql = "UPDATE concurrency_limit_v2 SET updated = {}, active_slots = {} WHERE id = {}";
        let now = (Kind::Time, Some(self.database.time(self.now)));
        let taken = (Kind::Integer, Some(taken.to_string()));
        self.database.execute(sql, &[now, taken, id]).await?;
        Ok(())
    }

    /// The limit of a tag in its own table, with task runs added to its holders.
    async fn write_tag(&self, limit: &ExportLimit, runs: &[Uuid]) -> Result<(), Error> {
        let (source, text) = (&limit.source, |kind, text: String| (kind, Some(text)));
        let id = text(Kind::Uuid, limit.id.to_string());
        let now = text(Kind::Time, self.database.time(self.now));
        let slots = text(Kind::Integer, source.slots.to_string());
        let holders = |ids: &[String]| text(Kind::Json, Value::from(ids).to_string());
        match &limit.fate {
            Fate::Create => {
                let sql = "INSERT INTO concurrency_limit (id, created, updated, tag, \
                     concurrency_limit, active_slots) VALUES ({}, {}, {}, {}, {}, {})";
                let tag = source.tag().unwrap_or_default().to_owned();
                let created = text(Kind::Time, self.database.time(source.created));
                let ids: Vec<_> = runs.iter().map(Uuid::to_string).collect();
                let values = [id, created, now, text(Kind::Text, tag), slots, holders(&ids)];
                self.database.execute(sql, &values).await?;
            }
            Fate::Same | Fate::Skip(_) | Fate::Replace(_) => {
                let found = self
                    .database
                    .rows(&format!(
                        "SELECT active_slots FROM concurrency_limit WHERE id = '{}'",
                        limit.id
                    ))
                    .await?;
                let found =
                    found.into_iter().next().and_then(|row| row.into_iter().next().flatten());
                let mut ids: Vec<String> =
                    serde_json::from_str(&found.unwrap_or_default()).unwrap_or_default();
                ids.extend(
                    runs.iter()
                        .map(Uuid::to_string)
                        .filter(|run| !ids.contains(run))
                        .collect::<Vec<_>>(),
                );
                let sql =
                    "UPDATE concurrency_limit SET updated = {}, active_slots = {} WHERE id = {}";
                self.database.execute(sql, &[now, holders(&ids), id.clone()]).await?;
                if matches!(limit.fate, Fate::Replace(_)) {
                    let sql = "UPDATE concurrency_limit SET concurrency_limit = {} WHERE id = {}";
                    self.database.execute(sql, &[slots, id]).await?;
                }
            }
            Fate::Conflict(_) | Fate::LeaveOut(_) => {}
        }
        Ok(())
    }
}
