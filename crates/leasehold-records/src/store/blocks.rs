//! Parts of blocks in the records: clients before version 3 keep results in blocks.

use rusqlite::params;
use serde_json::Value;
use uuid::Uuid;

use super::row::document;
use super::{Result, Transaction};

/// How many are kept. A client creates one for each directory of results.
const BLOCKS_MAX: i64 = 1_000;

impl Transaction<'_> {
    /// The part of a block with an id.
    pub fn block(&self, id: Uuid) -> Result<Option<Value>> {
        let sql = "SELECT document FROM blocks WHERE id = ?1";
        self.first(sql, [id.into_bytes()], |row| document(row, 0))
    }

    /// The part of a block with a key.
    pub fn block_by_key(&self, key: &str) -> Result<Option<Value>> {
        self.first("SELECT document FROM blocks WHERE key = ?1", [key], |row| document(row, 0))
    }

    /// Writes a part of a block that is new. Its id says when it was created: pruning goes by it.
    pub fn add_block(&self, id: Uuid, key: &str, block: &Value) -> Result<()> {
        self.require_space()?;
        let sql = "INSERT INTO blocks (id, key, document) VALUES (?1, ?2, ?3)";
        self.execute(sql, params![id.into_bytes(), key, block.to_string()])?;
        Ok(())
    }

    /// Deletes the oldest of too many.
    pub(super) fn prune_blocks(&self) -> Result<()> {
        let sql = "DELETE FROM blocks WHERE id <=
             (SELECT id FROM blocks ORDER BY id DESC LIMIT 1 OFFSET ?1)";
        self.execute(sql, [BLOCKS_MAX])?;
        Ok(())
    }
}
