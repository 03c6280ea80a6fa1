//! The filters of runs. The server refuses a criterion that it does not know: without it, the
//! answer would have runs that the client did not ask for.

use leasehold_prefect::Invalid;
use leasehold_prefect::runs::FilterRuns;
use leasehold_records::{Filter, Flow, RecordsError, RunKind, Sort, StateType, Transaction};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::doors::prefect::error::Error;

type Fields = Map<String, Value>;

/// Flows by their ids or their names.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Flows {
    ids: Vec<Uuid>,
    names: Vec<String>,
}

/// A filter of runs, and the flows whose runs it accepts.
#[derive(Debug, PartialEq)]
pub(super) struct Runs {
    filter: Filter,
    flows: Option<Flows>,
}

impl Flows {
    pub(super) fn find(self, records: &Transaction<'_>) -> Result<Vec<Flow>, RecordsError> {
        let by_id = self.ids.into_iter().map(|id| records.flow(id));
        let by_name = self.names.iter().map(|name| records.flow_by_name(name));
        by_id.chain(by_name).filter_map(Result::transpose).collect()
    }
}

impl Runs {
    /// The filter with the ids of the flows found.
    pub(super) fn resolve(self, records: &Transaction<'_>) -> Result<Filter, RecordsError> {
        let Self { mut filter, flows } = self;
        if let Some(flows) = flows {
            filter.flows = Some(flows.find(records)?.into_iter().map(|flow| flow.id).collect());
        }
        Ok(filter)
    }
}

/// Reads criteria for flows. `None` accepts all of them.
pub(super) fn flows(criteria: Option<&Fields>) -> Result<Option<Flows>, Error> {
    let mut flows = None::<Flows>;
    for (path, values) in chosen(criteria) {
        match path.as_str() {
            "id.any_" => flows.get_or_insert_default().ids = ids(&path, values)?,
            "name.any_" => flows.get_or_insert_default().names = texts(&path, values)?,
            _ => return Err(unknown(&path)),
        }
    }
    Ok(flows)
}

/// Reads criteria for runs of one kind, with an order.
pub(super) fn runs(kind: RunKind, sort: Sort, body: &FilterRuns) -> Result<Runs, Error> {
    let mut filter = Filter { sort, offset: body.offset, limit: body.limit, ..Filter::default() };
    let own = match kind {
        RunKind::FlowRun => &body.flow_runs,
        RunKind::TaskRun => &body.task_runs,
    };
    for (path, values) in chosen(own.as_ref()) {
        match (kind, path.as_str()) {
            (_, "id.any_") => filter.ids = Some(ids(&path, values)?),
            (_, "name.any_") => filter.names = Some(texts(&path, values)?),
            (RunKind::FlowRun, "parent_task_run_id.any_")
            | (RunKind::TaskRun, "flow_run_id.any_") => filter.parents = Some(ids(&path, values)?),
            (_, "state.type.any_") => {
                let words = texts(&path, values)?;
                let kinds = words.iter().filter_map(|word| StateType::from_word(word));
                filter.states = Some(kinds.collect());
            }
            (_, "state.name.any_") => filter.state_names = Some(texts(&path, values)?),
            _ => return Err(unknown(&path)),
        }
    }
    let others = match kind {
        RunKind::FlowRun => &body.task_runs,
        RunKind::TaskRun => &body.flow_runs,
    };
    for (path, values) in chosen(others.as_ref()) {
        match (kind, path.as_str()) {
            (RunKind::TaskRun, "id.any_") => filter.parents = Some(ids(&path, values)?),
            _ => return Err(unknown(&path)),
        }
    }
    Ok(Runs { filter, flows: flows(body.flows.as_ref())? })
}

/// The criteria that have a value, each as its path and the value: `id.any_`, `[…]`.
fn chosen(criteria: Option<&Fields>) -> Vec<(String, &Value)> {
    let mut chosen = Vec::new();
    let mut left = criteria.map(|criteria| fields_of("", criteria)).unwrap_or_default();
    while let Some((path, value)) = left.pop() {
        match value {
            Value::Object(fields) => left.extend(fields_of(&format!("{path}."), fields)),
            Value::Bool(false) => {}
            _ => chosen.push((path, value)),
        }
    }
    chosen
}

fn fields_of<'fields>(path: &str, fields: &'fields Fields) -> Vec<(String, &'fields Value)> {
    let named = fields.iter().filter(|(name, value)| *name != "operator" && !value.is_null());
    named.map(|(name, value)| (format!("{path}{name}"), value)).collect()
}

fn ids(path: &str, values: &Value) -> Result<Vec<Uuid>, Error> {
    let ids = texts(path, values)?;
    ids.iter().map(|id| id.parse().map_err(|_| malformed(path))).collect()
}

fn texts(path: &str, values: &Value) -> Result<Vec<String>, Error> {
    serde_json::from_value(values.clone()).map_err(|_| malformed(path))
}

fn unknown(path: &str) -> Error {
    Invalid::Detail(format!("Invalid filter: '{path}' is not supported by this server.")).into()
}

fn malformed(path: &str) -> Error {
    Invalid::Detail(format!("Invalid filter: '{path}' must be a list of such values.")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(flow_runs: &Value, expected: Option<Filter>) {
        let body = FilterRuns {
            flows: None,
            flow_runs: flow_runs.as_object().cloned(),
            task_runs: None,
            limit: 200,
            offset: 0,
        };
        let read = runs(RunKind::FlowRun, Sort::default(), &body).ok().map(|runs| runs.filter);
        assert_eq!(read, expected.map(|filter| Filter { limit: 200, ..filter }));
    }

    #[test]
    fn what_says_nothing_is_no_criterion() {
        check(&json!({}), Some(Filter::default()));
        let null = json!({"operator": "and_", "id": null, "state": {"type": null}});
        check(&null, Some(Filter::default()));
    }

    #[test]
    fn criteria_are_read_with_what_clients_send_beside_them() {
        let id = Uuid::now_v7();
        let sent = json!({
            "operator": "and_",
            "parent_task_run_id": {"operator": "and_", "any_": [id.to_string()], "is_null_": null},
            "state": {"type": {"any_": ["RUNNING"]}, "name": null},
        });
        let states = Some(vec![StateType::Running]);
        check(&sent, Some(Filter { parents: Some(vec![id]), states, ..Filter::default() }));
    }

    #[test]
    fn an_unknown_criterion_is_refused() {
        check(&json!({"deployment_id": {"any_": []}}), None);
        check(&json!({"id": {"any_": ["no id"]}}), None);
    }
}
