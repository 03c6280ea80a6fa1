//! The names and states of the runs that hold leases, as far as they are recorded.

use std::collections::HashMap;

use leasehold_engine::Holder;
use leasehold_records::{Run, RunKind};
use uuid::Uuid;

use crate::app::App;

/// What a page shows of a run.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) state: Option<String>,
    /// The name of the flow run of a task run.
    pub(super) flow_run: Option<String>,
}

/// Runs by the id of their holder.
pub(super) type Runs = HashMap<String, Named>;

/// The runs of these holders. Without records there are none: a page does without.
pub(super) async fn of<'held>(app: &App, holders: impl Iterator<Item = &'held Holder>) -> Runs {
    let wanted: Vec<_> = holders
        .filter_map(|holder| {
            Some((RunKind::from_word(&holder.kind)?, holder.id.parse::<Uuid>().ok()?))
        })
        .collect();
    let Some(recorder) = app.recorder().filter(|_| !wanted.is_empty()) else {
        return Runs::new();
    };
    let found = recorder.write(move |records| {
        let mut found = Runs::new();
        for (kind, id) in wanted {
            let Some(run) = records.run(kind, id)? else { continue };
            let parent = match run.parent.filter(|_| kind == RunKind::TaskRun) {
                Some(flow_run) => records.run(RunKind::FlowRun, flow_run)?,
                None => None,
            };
            found.insert(id.to_string(), named(run, parent));
        }
        Ok(found)
    });
    found.await.unwrap_or_default()
}

fn named(run: Run, flow_run: Option<Run>) -> Named {
    Named {
        state: run.state.map(|state| state.name),
        name: run.name,
        flow_run: flow_run.map(|run| run.name),
    }
}
