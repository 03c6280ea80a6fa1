//! What a request is about, as far as it tells whether a holder lives.

use axum::http::Method;
use leasehold_records::RunKind;
use uuid::Uuid;

use crate::doors::gateway::paths::decoded;

/// What a request is about, and so what its answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::doors::gateway) enum About {
    /// The next state of a run.
    State(RunKind, Uuid),
    /// The next state of several flow runs.
    States,
    /// A new run.
    Creation(RunKind),
    /// The end of a run's record.
    Deletion(RunKind, Uuid),
    /// The same of several flow runs.
    Deletions,
    /// Events, which are in the request.
    Events,
}

/// What a request is about. `None` if it tells nothing of holders.
pub(in crate::doors::gateway) fn about(method: &Method, path: &str) -> Option<About> {
    use RunKind::{FlowRun, TaskRun};

    let is_post = method == Method::POST;
    if !is_post && method != Method::DELETE {
        return None;
    }
    let path = decoded(path);
    let path = path.strip_prefix("/api/")?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut segments = path.split('/');
    let parts = [segments.next(), segments.next(), segments.next(), segments.next()];
    let id = parts[1].and_then(|id| id.parse::<Uuid>().ok());
    match (parts, id) {
        ([Some("flow_runs"), Some("bulk_set_state"), None, _], _) if is_post => Some(About::States),
        ([Some("flow_runs"), Some("bulk_delete"), None, _], _) if is_post => Some(About::Deletions),
        ([Some("flow_runs"), Some(_), Some("set_state" | "resume"), None], Some(id)) if is_post => {
            Some(About::State(FlowRun, id))
        }
        ([Some("task_runs"), Some(_), Some("set_state"), None], Some(id)) if is_post => {
            Some(About::State(TaskRun, id))
        }
        ([Some("flow_runs"), None, ..], _) if is_post => Some(About::Creation(FlowRun)),
        ([Some("task_runs"), None, ..], _) if is_post => Some(About::Creation(TaskRun)),
        ([Some("deployments"), Some(_), Some("create_flow_run"), None], Some(_)) if is_post => {
            Some(About::Creation(FlowRun))
        }
        ([Some("events"), None, ..], _) if is_post => Some(About::Events),
        ([Some("flow_runs"), Some(_), None, _], Some(id)) if !is_post => {
            Some(About::Deletion(FlowRun, id))
        }
        ([Some("task_runs"), Some(_), None, _], Some(id)) if !is_post => {
            Some(About::Deletion(TaskRun, id))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_tell_of_holders_are_known_and_no_others_are() {
        let id = "0198c0de-0000-7000-8000-000000000001";
        let uuid = id.parse().unwrap();
        let check = |method: &str, path: &str, expected: Option<About>| {
            let path = path.replace("ID", id);
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(about(&method, &path), expected, "{method} {path}");
        };
        let (flow, task) = (RunKind::FlowRun, RunKind::TaskRun);
        check("POST", "/api/flow_runs/ID/set_state", Some(About::State(flow, uuid)));
        check("POST", "/api/flow_runs/ID/resume", Some(About::State(flow, uuid)));
        check("POST", "/api/task_runs/ID/set%5Fstate", Some(About::State(task, uuid)));
        check("POST", "/api/flow_runs/bulk_set_state", Some(About::States));
        check("POST", "/api/flow_runs/bulk_delete", Some(About::Deletions));
        check("POST", "/api/flow_runs/", Some(About::Creation(flow)));
        check("POST", "/api/task_runs/", Some(About::Creation(task)));
        check("POST", "/api/deployments/ID/create_flow_run", Some(About::Creation(flow)));
        check("POST", "/api/events", Some(About::Events));
        check("DELETE", "/api/flow_runs/ID", Some(About::Deletion(flow, uuid)));
        check("DELETE", "/api/task_runs/ID", Some(About::Deletion(task, uuid)));
        check("GET", "/api/flow_runs/ID", None);
        check("POST", "/api/flow_runs/filter", None);
        check("POST", "/api/events/filter", None);
        check("POST", "/api/flow_runs/ID/input", None);
        check("DELETE", "/api/flow_runs/ID/input/x", None);
        check("DELETE", "/api/flows/ID", None);
    }
}
