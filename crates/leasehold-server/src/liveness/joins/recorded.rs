//! Finds in the records in which run a client waits: its own event comes only once it has its
//! slots.

use std::sync::Arc;

use leasehold_engine::{Acquire, Certainty, Holder, Identified, Named, Origin};
use leasehold_records::{Filter, RecordsError, Run, RunKind, StateType, Transaction};
use uuid::Uuid;

use crate::records::Recorder;

/// The id by which the run is found.
#[derive(Clone, Copy)]
enum Known {
    /// The task run that is to hold the slots.
    TaskRun(Uuid),
    /// The flow that the client's headers name.
    Flow(Uuid),
}

/// Adds to the origin of a request in which flow run it is made. If a task run is to hold the
/// slots, that is the flow run around it. Without a holder, it is the only run of the flow that is
/// running. The origin stays as it is if the records name no such run, or several.
pub(crate) async fn identify(recorder: Option<&Recorder>, acquire: &mut Acquire) {
    let Some(origin) = acquire.origin.as_ref().filter(|it| it.identified.is_none()) else { return };
    let (Some(known), Some(recorder)) = (known(acquire, origin), recorder) else { return };
    // If the records are overloaded, this fails at once: a report is not worth a wait.
    let found = recorder.write(move |records| find(records, known)).await;
    if let Ok(Some(identified)) = found {
        let identified = Some(Arc::new(identified));
        acquire.origin = Some(Arc::new(Origin { identified, ..Origin::clone(origin) }));
    }
}

fn known(acquire: &Acquire, origin: &Origin) -> Option<Known> {
    match acquire.hold.holder() {
        Some(holder) if &*holder.kind == Holder::TASK_RUN => {
            Some(Known::TaskRun(holder.id.parse().ok()?))
        }
        Some(_) => None,
        None => Some(Known::Flow(origin.flow.id.as_ref()?.parse().ok()?)),
    }
}

fn find(records: &Transaction<'_>, known: Known) -> Result<Option<Identified>, RecordsError> {
    Ok(match known {
        Known::TaskRun(id) => {
            let Some(task_run) = records.run(RunKind::TaskRun, id)? else { return Ok(None) };
            let Some(parent) = task_run.parent else { return Ok(None) };
            records.run(RunKind::FlowRun, parent)?.map(|flow_run| Identified {
                flow_run: named(&flow_run),
                task_run: named(&task_run),
                certainty: Certainty::Certain,
            })
        }
        Known::Flow(flow) => {
            let filter = Filter {
                flows: Some(vec![flow]),
                states: Some(vec![StateType::Running]),
                limit: 2,
                ..Filter::default()
            };
            match &records.runs(RunKind::FlowRun, &filter)?[..] {
                [only] => Some(Identified {
                    flow_run: named(only),
                    task_run: Named::default(),
                    certainty: Certainty::Likely,
                }),
                _ => None,
            }
        }
    })
}

fn named(run: &Run) -> Named {
    Named { id: Some(run.id.to_string().into()), name: Some(run.name.as_str().into()) }
}

#[cfg(test)]
mod tests {
    use leasehold_records::{Bounds, Records, State};
    use serde_json::{Map, Value};

    use super::*;

    fn flow_run(id: u128, flow: Uuid, state: StateType) -> Run {
        let mut run = Run::new(Uuid::from_u128(id), RunKind::FlowRun, format!("run-{id}"), 0);
        run.flow = Some(flow);
        run.enter(State {
            id: Uuid::now_v7(),
            kind: state,
            name: state.usual_name().to_owned(),
            at_micros: 0,
            message: None,
            data: Value::Null,
            details: Map::new(),
        });
        run
    }

    fn records(runs: &[Run]) -> Records {
        let mut records = Records::in_memory(Bounds::default()).unwrap();
        let transaction = records.begin().unwrap();
        runs.iter().for_each(|run| transaction.put_run(run).unwrap());
        transaction.commit().unwrap();
        records
    }

    fn found(records: &mut Records, known: Known) -> Option<(String, Certainty)> {
        let records = records.begin().unwrap();
        let found = find(&records, known).unwrap()?;
        Some((found.flow_run.name.unwrap().to_string(), found.certainty))
    }

    #[test]
    fn a_request_without_a_holder_comes_from_the_only_running_run_of_its_flow() {
        let flow = Uuid::from_u128(9);
        let mut runs = vec![
            flow_run(1, flow, StateType::Completed),
            flow_run(2, flow, StateType::Running),
            flow_run(3, Uuid::from_u128(8), StateType::Running),
        ];
        let only = Some(("run-2".to_owned(), Certainty::Likely));
        assert_eq!(found(&mut records(&runs), Known::Flow(flow)), only);
        runs.push(flow_run(4, flow, StateType::Running));
        assert_eq!(found(&mut records(&runs), Known::Flow(flow)), None);
    }

    #[test]
    fn a_recorded_task_run_leads_to_its_flow_run() {
        let flow = Uuid::from_u128(9);
        let task_run = Uuid::from_u128(5);
        let mut task = Run::new(task_run, RunKind::TaskRun, "task".to_owned(), 0);
        task.parent = Some(Uuid::from_u128(2));
        let mut records = records(&[flow_run(2, flow, StateType::Running), task]);
        let certain = Some(("run-2".to_owned(), Certainty::Certain));
        assert_eq!(found(&mut records, Known::TaskRun(task_run)), certain);
        assert_eq!(found(&mut records, Known::TaskRun(Uuid::from_u128(6))), None);
    }
}
