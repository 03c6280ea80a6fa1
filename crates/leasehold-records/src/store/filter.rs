//! Which runs a search finds, and in which order runs and flows come; as SQL.

use std::cmp::Ordering;

use rusqlite::types::Value;
use uuid::Uuid;

use super::row::integer;
use crate::flow::Flow;
use crate::run::RunKind;
use crate::state::StateType;

/// Which runs a search finds; `None` is all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// With one of these ids.
    pub ids: Option<Vec<Uuid>>,
    /// Within one of these.
    pub parents: Option<Vec<Uuid>>,
    /// Of one of these flows.
    pub flows: Option<Vec<Uuid>>,
    /// With one of these names.
    pub names: Option<Vec<String>>,
    /// In a state of one of these kinds.
    pub states: Option<Vec<StateType>>,
    /// In a state with one of these names.
    pub state_names: Option<Vec<String>>,
    /// In which order they come.
    pub sort: Sort,
    /// How many to leave out first.
    pub offset: u64,
    /// How many at the most.
    pub limit: u64,
}

/// In which order runs come. A run without such a time is less than one with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By id, the newest first.
    #[default]
    Id,
    /// By when they began, or are expected to.
    Start(Order),
    /// By when they are expected to begin.
    ExpectedStart(Order),
    /// By name.
    Name(Order),
    /// By when they are due.
    Due(Order),
    /// By when they ended.
    End(Order),
    /// By how long they have run until a point in time, in microseconds.
    Duration(Order, i64),
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

/// Which end of an order comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// The conditions of a WHERE clause, and the values of its parameters.
#[derive(Default)]
pub(super) struct Conditions {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Conditions {
    /// The conditions of a filter.
    pub(super) fn new(kind: RunKind, filter: &Filter) -> Self {
        let text = |text: &String| Value::Text(text.clone());
        let id = |id: &Uuid| Value::Blob(id.into_bytes().to_vec());
        let word = |kind: &StateType| Value::Text(kind.as_str().to_owned());
        let mut conditions = Self::default();
        conditions.one_of("kind", Some(&[kind]), |kind| Value::Text(kind.as_str().to_owned()));
        conditions.one_of("id", filter.ids.as_deref(), id);
        conditions.one_of("parent", filter.parents.as_deref(), id);
        conditions.one_of("flow", filter.flows.as_deref(), id);
        conditions.one_of("name", filter.names.as_deref(), text);
        conditions.one_of("state_type", filter.states.as_deref(), word);
        conditions.one_of("state_name", filter.state_names.as_deref(), text);
        conditions
    }

    /// Adds a value. Returns its parameter.
    pub(super) fn param(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// Adds a condition.
    pub(super) fn add(&mut self, condition: &str) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(condition);
    }

    /// LIMIT and OFFSET of a filter.
    pub(super) fn page(&mut self, filter: &Filter) -> String {
        let limit = self.param(Value::Integer(integer(filter.limit)));
        let offset = self.param(Value::Integer(integer(filter.offset)));
        format!("LIMIT {limit} OFFSET {offset}")
    }

    fn one_of<T>(&mut self, column: &str, values: Option<&[T]>, cell: impl Fn(&T) -> Value) {
        let Some(values) = values else { return };
        let params: Vec<_> = values.iter().map(|value| self.param(cell(value))).collect();
        match params.is_empty() {
            true => self.add("1 = 0"),
            false => self.add(&format!("{column} IN ({})", params.join(", "))),
        }
    }
}

/// The ORDER BY clause of an order. Equal runs come by their ids, so that pages do not overlap.
pub(super) fn order_by(sort: Sort) -> String {
    let (column, order) = match sort {
        Sort::Id => return "id DESC".to_owned(),
        Sort::Start(order) => ("coalesce(start_micros, expected_micros)".to_owned(), order),
        Sort::ExpectedStart(order) => ("expected_micros".to_owned(), order),
        Sort::Name(order) => ("name".to_owned(), order),
        Sort::Due(order) => ("due_micros".to_owned(), order),
        Sort::End(order) => ("end_micros".to_owned(), order),
        Sort::Duration(order, now_micros) => {
            let duration = format!(
                "total_run_micros + CASE WHEN state_type = 'RUNNING' AND state_micros < {now_micros} \
                 THEN {now_micros} - state_micros ELSE 0 END"
            );
            (duration, order)
        }
    };
    match order {
        Order::Ascending => format!("{column} ASC NULLS FIRST, id DESC"),
        Order::Descending => format!("{column} DESC NULLS LAST, id DESC"),
    }
}
