//! Flows.

use serde_json::{Map, Value};
use uuid::Uuid;

/// A flow: a name under which runs are recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Its id.
    pub id: Uuid,
    /// Its name, which is unique.
    pub name: String,
    /// When a client first created it.
    pub created_micros: i64,
    /// What its client sent with it: tags and labels.
    pub details: Map<String, Value>,
}
