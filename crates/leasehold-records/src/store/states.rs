//! The states that a run was in.

use rusqlite::params;
use uuid::Uuid;

use super::row::document;
use super::{Result, Transaction};
use crate::state::State;

impl Transaction<'_> {
    /// The states that a run was in, oldest first.
    pub fn states(&self, run: Uuid) -> Result<Vec<State>> {
        let sql = "SELECT document FROM states WHERE run = ?1 ORDER BY at_micros, id";
        self.all(sql, [run.into_bytes()], |row| document(row, 0))
    }

    /// Adds a state to the history of a run, unless it is there.
    pub(super) fn add_state(&self, run: Uuid, state: &State) -> Result<()> {
        self.execute(
            "INSERT INTO states (run, at_micros, id, document) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (run, at_micros, id) DO NOTHING",
            params![
                run.into_bytes(),
                state.at_micros,
                state.id.into_bytes(),
                serde_json::to_string(state)?,
            ],
        )?;
        Ok(())
    }
}
