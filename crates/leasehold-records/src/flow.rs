//! Flows.

use std::cmp::Ordering;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::store::Order;

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

/// In which order flows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowSort {
    /// By creation, the newest first.
    Newest,
    /// By name.
    Name(Order),
}

impl FlowSort {
    /// Which of two flows comes first.
    pub fn compare(self, a: &Flow, b: &Flow) -> Ordering {
        match self {
            Self::Newest => b.created_micros.cmp(&a.created_micros),
            Self::Name(Order::Ascending) => a.name.cmp(&b.name),
            Self::Name(Order::Descending) => b.name.cmp(&a.name),
        }
    }
}
