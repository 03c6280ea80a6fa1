//! Flows in the records.

use rusqlite::{Row, params};
use uuid::Uuid;

use super::row::{document, id, integer};
use super::{FlowSort, Order, Result, Transaction};
use crate::flow::Flow;

impl Transaction<'_> {
    /// The flow with an id.
    pub fn flow(&self, id: Uuid) -> Result<Option<Flow>> {
        let sql = "SELECT id, name, created_micros, details FROM flows WHERE id = ?1";
        self.first(sql, [id.into_bytes()], read)
    }

    /// The flow with a name.
    pub fn flow_by_name(&self, name: &str) -> Result<Option<Flow>> {
        let sql = "SELECT id, name, created_micros, details FROM flows WHERE name = ?1";
        self.first(sql, [name], read)
    }

    /// A page of all flows.
    pub fn flows(&self, sort: FlowSort, offset: u64, limit: u64) -> Result<Vec<Flow>> {
        let order = match sort {
            FlowSort::Newest => "created_micros DESC",
            FlowSort::Name(Order::Ascending) => "name",
            FlowSort::Name(Order::Descending) => "name DESC",
        };
        let sql = format!(
            "SELECT id, name, created_micros, details FROM flows ORDER BY {order} LIMIT ?1 OFFSET ?2"
        );
        self.all(&sql, [integer(limit), integer(offset)], read)
    }

    /// Writes a flow that is new.
    pub fn add_flow(&self, flow: &Flow) -> Result<()> {
        self.require_space()?;
        self.execute(
            "INSERT INTO flows (id, name, created_micros, details) VALUES (?1, ?2, ?3, ?4)",
            params![
                flow.id.into_bytes(),
                flow.name,
                flow.created_micros,
                serde_json::to_string(&flow.details)?,
            ],
        )?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<Flow> {
    Ok(Flow {
        id: id(row, 0)?,
        name: row.get(1)?,
        created_micros: row.get(2)?,
        details: document(row, 3)?,
    })
}
