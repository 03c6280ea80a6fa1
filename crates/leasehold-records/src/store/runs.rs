//! Runs in the records. The whole run is in its document; what searches, orders and indexes need
//! has a column beside it.

use rusqlite::{Row, params, params_from_iter};
use uuid::Uuid;

use super::filter::{Conditions, order_by};
use super::row::{document, id, natural};
use super::{Filter, Result, Transaction};
use crate::error::RecordsError;
use crate::run::{Identity, Run, RunKind};
use crate::state::StateType;

impl Transaction<'_> {
    /// The run with an id, if it is of that kind.
    pub fn run(&self, kind: RunKind, id: Uuid) -> Result<Option<Run>> {
        let sql = "SELECT document, heartbeat_micros FROM runs WHERE id = ?1 AND kind = ?2";
        self.first(sql, params![id.into_bytes(), kind.as_str()], read)
    }

    /// The run that was created under an identity.
    pub fn run_with_identity(&self, identity: &Identity) -> Result<Option<Run>> {
        let sql = "SELECT document, heartbeat_micros FROM runs WHERE identity = ?1";
        self.first(sql, [&identity.0], read)
    }

    /// The runs that pass a filter, in its order, without those that are damaged.
    pub fn runs(&self, kind: RunKind, filter: &Filter) -> Result<Vec<Run>> {
        let mut conditions = Conditions::new(kind, filter);
        let sql = select(&mut conditions, filter);
        readable(self.all(&sql, params_from_iter(conditions.values), |row| Ok(read(row)))?)
    }

    /// How many runs pass a filter, whatever its page.
    pub fn run_count(&self, kind: RunKind, filter: &Filter) -> Result<u64> {
        let conditions = Conditions::new(kind, filter);
        let sql = format!("SELECT count(*) FROM runs WHERE {}", conditions.sql);
        let count = self.first(&sql, params_from_iter(conditions.values), |row| natural(row, 0))?;
        Ok(count.unwrap_or(0))
    }

    /// Writes a run as it is now. A state that is new to it joins its history. It changes nothing
    /// if a run of the other kind has its id.
    pub fn put_run(&self, run: &Run) -> Result<()> {
        self.require_space()?;
        let state = run.state.as_ref();
        let written = self.execute(
            PUT,
            params![
                run.id.into_bytes(),
                run.kind.as_str(),
                run.flow.map(Uuid::into_bytes),
                run.parent.map(Uuid::into_bytes),
                run.identity.as_ref().map(|identity| &identity.0),
                run.name,
                run.state_type().map(StateType::as_str),
                state.map(|state| &state.name),
                state.map(|state| state.at_micros),
                run.is_over(),
                run.created_micros,
                run.updated_micros,
                run.expected_micros.unwrap_or(run.created_micros),
                run.start_micros,
                run.due_micros(),
                run.end_micros,
                run.total_run_micros,
                run.heartbeat_micros,
                serde_json::to_string(run)?,
            ],
        )?;
        match state {
            Some(state) if written > 0 => self.add_state(run.id, state),
            _ => Ok(()),
        }
    }

    /// A run and all runs within it, itself first; nothing if it does not exist.
    pub fn run_tree(&self, kind: RunKind, root: Uuid) -> Result<Vec<(RunKind, Uuid)>> {
        let sql = "WITH RECURSIVE tree (id, kind) AS (
                 SELECT id, kind FROM runs WHERE id = ?1 AND kind = ?2
                 UNION SELECT runs.id, runs.kind FROM runs JOIN tree ON runs.parent = tree.id)
             SELECT id, kind FROM tree";
        self.all(sql, params![root.into_bytes(), kind.as_str()], |row| {
            let word: String = row.get(1)?;
            let unknown = || RecordsError::damaged(format!("'{word}' is no kind of run"));
            Ok((RunKind::from_word(&word).ok_or_else(unknown)?, id(row, 0)?))
        })
    }

    /// Deletes a run, and a flow run's task runs with it. Returns whether it existed.
    pub fn delete_run(&self, kind: RunKind, id: Uuid) -> Result<bool> {
        let run = "SELECT id FROM runs WHERE id = ?1 AND kind = ?2";
        let existed = self.delete_runs(run, params![id.into_bytes(), kind.as_str()])? > 0;
        if existed && kind == RunKind::FlowRun {
            let tasks = "SELECT id FROM runs WHERE parent = ?1 AND kind = 'task_run'";
            self.delete_runs(tasks, [id.into_bytes()])?;
        }
        Ok(existed)
    }

    /// Records a heartbeat of a flow run. Returns whether the flow run exists. Needs no space.
    pub fn record_heartbeat(&self, flow_run: Uuid, at_micros: i64) -> Result<bool> {
        let sql = "UPDATE runs SET heartbeat_micros = ?2, updated_micros =
                 CASE WHEN updated_micros > ?2 THEN updated_micros ELSE ?2 END
             WHERE id = ?1 AND kind = 'flow_run'";
        Ok(self.execute(sql, params![flow_run.into_bytes(), at_micros])? > 0)
    }

    /// The flow runs that sent a heartbeat and are not over, without those that are damaged.
    pub fn runs_with_heartbeat(&self) -> Result<Vec<Run>> {
        let sql = "SELECT document, heartbeat_micros FROM runs
             WHERE is_over = 0 AND heartbeat_micros IS NOT NULL";
        readable(self.all(sql, [], |row| Ok(read(row)))?)
    }
}

const PUT: &str = "\
    INSERT INTO runs (id, kind, flow, parent, identity, name, state_type, state_name, state_micros, \
        is_over, created_micros, updated_micros, expected_micros, start_micros, due_micros, \
        end_micros, total_run_micros, heartbeat_micros, document) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
    ON CONFLICT (id) DO UPDATE SET \
        flow = excluded.flow, parent = excluded.parent, name = excluded.name, \
        state_type = excluded.state_type, state_name = excluded.state_name, \
        state_micros = excluded.state_micros, is_over = excluded.is_over, \
        updated_micros = CASE WHEN runs.updated_micros > excluded.updated_micros \
            THEN runs.updated_micros ELSE excluded.updated_micros END, \
        expected_micros = excluded.expected_micros, start_micros = excluded.start_micros, \
        due_micros = excluded.due_micros, end_micros = excluded.end_micros, \
        total_run_micros = excluded.total_run_micros, document = excluded.document \
    WHERE runs.kind = excluded.kind";

/// The statement that finds the runs of a filter.
pub(super) fn select(conditions: &mut Conditions, filter: &Filter) -> String {
    let page = conditions.page(filter);
    let (conditions, order) = (&conditions.sql, order_by(filter.sort));
    format!(
        "SELECT document, heartbeat_micros FROM runs WHERE {conditions} ORDER BY {order} {page}"
    )
}

fn read(row: &Row<'_>) -> Result<Run> {
    let mut run: Run = document(row, 0)?;
    // Heartbeats are too many to write a document for each.
    run.heartbeat_micros = row.get(1)?;
    Ok(run)
}

/// The runs that can be read. One damaged run must not hide the others; a read of that run by its
/// id fails.
fn readable(runs: Vec<Result<Run>>) -> Result<Vec<Run>> {
    let is_other = |run: &Result<Run>| !matches!(run, Err(RecordsError::Damaged(_)));
    runs.into_iter().filter(is_other).collect()
}
