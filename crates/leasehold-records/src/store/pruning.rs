//! What is deleted because it is too old or too much, some of it at a time.

use rusqlite::Params;

use super::row::{integer, natural};
use super::{Result, Transaction};

/// How many runs are deleted at once: no request waits for a long pruning.
const PRUNED_MAX: u64 = 1_000;

impl Transaction<'_> {
    /// Deletes some of what is too old or too much. Returns whether there may be more.
    pub fn prune(&self, now_micros: i64) -> Result<bool> {
        let age_micros = integer(self.bounds.age_seconds_max.saturating_mul(1_000_000));
        let oldest_micros = now_micros.saturating_sub(age_micros);
        let runs = self.prune_runs(oldest_micros)?;
        self.prune_blocks()?;
        let events = self.prune_events(oldest_micros)?;
        Ok(runs || events)
    }

    /// A run that never ended and is silent is as old as one that ended then. A run is kept for as
    /// long as a run within it.
    fn prune_runs(&self, oldest_micros: i64) -> Result<bool> {
        let old = self.delete_runs(
            "SELECT id FROM runs WHERE is_over IN (0, 1) AND updated_micros < ?1
                 AND (is_over = 1 OR NOT EXISTS
                     (SELECT 1 FROM runs AS inner_run WHERE inner_run.parent = runs.id))
                 LIMIT ?2",
            [oldest_micros, integer(PRUNED_MAX)],
        )?;
        let count = self.first("SELECT count(*) FROM runs", [], |row| natural(row, 0))?;
        let excess = count.unwrap_or(0).saturating_sub(self.bounds.runs_max);
        let deleted = self.delete_excess(excess.min(PRUNED_MAX))?;
        // A flow is a name and little else, but a program may invent names.
        self.execute(
            "DELETE FROM flows WHERE created_micros < ?1
             AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.flow = flows.id)",
            [oldest_micros],
        )?;
        let is_behind = deleted > 0 && excess > deleted;
        Ok(is_behind || old == PRUNED_MAX)
    }

    /// Deletes runs that are over first. Of the others, it deletes those without a run within them,
    /// so that a flow run goes after its tasks: without its record its program fails. Among these,
    /// runs whose parent is not on record go first, and task runs go before flow runs; most of them
    /// were left by programs that were killed. Returns how many it deleted.
    fn delete_excess(&self, excess: u64) -> Result<u64> {
        let mut deleted = 0;
        for select in [
            "SELECT id FROM runs WHERE is_over = 1 ORDER BY updated_micros LIMIT ?1",
            "SELECT id FROM runs WHERE is_over = 0
                 AND NOT EXISTS (SELECT 1 FROM runs AS inner_run WHERE inner_run.parent = runs.id)
                 ORDER BY parent IS NULL
                     OR EXISTS (SELECT 1 FROM runs AS outer_run WHERE outer_run.id = runs.parent),
                     kind DESC, updated_micros
                 LIMIT ?1",
        ] {
            if deleted < excess {
                deleted += self.delete_runs(select, [integer(excess - deleted)])?;
            }
        }
        Ok(deleted)
    }

    /// Deletes the runs whose ids a statement selects, with their states. Returns how many.
    pub(super) fn delete_runs(&self, select: &str, params: impl Params) -> Result<u64> {
        let ids = self.all(select, params, |row| Ok(row.get::<_, [u8; 16]>(0)?))?;
        for id in &ids {
            self.execute("DELETE FROM states WHERE run = ?1", [id])?;
            self.execute("DELETE FROM runs WHERE id = ?1", [id])?;
        }
        Ok(ids.len() as u64)
    }
}
