//! What can be asked of the runs that are recorded, and of the log of events.

use leasehold_api::Settings;
use serde_json::{Value, json};

use super::operation::{Operation, delete, get, patch, post};
use super::operations::{list, one};

const NOT_THERE: &str = "Nothing is recorded under this id or name.";

/// What clients record of their runs.
pub(super) fn runs() -> Vec<Operation> {
    let mut operations = flows();
    operations.extend(of_runs("flow_runs", "CreateFlowRun", "FlowRun"));
    operations.extend([
        patch("/api/flow_runs/{id}", "update_flow_run", "Change a flow run")
            .body("UpdateFlowRun")
            .done(204, "Changed.")
            .refuses(404, NOT_THERE)
            .records(),
        delete("/api/flow_runs/{id}", "delete_flow_run", "Forget a flow run")
            .about(
                "With its task runs. What they hold without a deadline comes back, and so does what \
                 its subflows hold.",
            )
            .done(204, "Forgotten.")
            .refuses(404, NOT_THERE)
            .records(),
        post("/api/flow_runs/{id}/resume", "resume_flow_run", "Let a paused flow run go on")
            .optional_body("ResumeFlowRun")
            .answers(200, one("Transition"), "It is not paused, or its pause has timed out.")
            .answers(201, one("Transition"), "It is RUNNING.")
            .refuses(404, NOT_THERE)
            .records(),
        patch("/api/flow_runs/{id}/labels", "update_flow_run_labels", "Add labels to a flow run")
            .free_body(&json!({"team": "data"}))
            .done(204, "Added.")
            .refuses(404, NOT_THERE)
            .records(),
    ]);
    operations.extend(of_runs("task_runs", "CreateTaskRun", "TaskRun"));
    operations.push(
        patch("/api/task_runs/{id}", "update_task_run", "Change a task run")
            .body("UpdateTaskRun")
            .done(204, "Changed.")
            .refuses(404, NOT_THERE)
            .records(),
    );
    operations.push(
        post("/api/logs/", "send_logs", "Send logs")
            .about("Taken, and not kept.")
            .free_body(&json!([{"message": "half done"}]))
            .answers(201, json!({"const": null}), "Taken."),
    );
    operations.extend(blocks());
    operations
}

fn flows() -> Vec<Operation> {
    vec![
        post("/api/flows/", "create_flow", "Record a flow")
            .about("A flow is known by its name: recorded again, it is the same.")
            .body("CreateFlow")
            .answers(200, one("Flow"), "It was recorded before.")
            .answers(201, one("Flow"), "The new flow.")
            .records(),
        post("/api/flows/filter", "list_flows", "List flows")
            .optional_body("ListFlows")
            .answers(200, list("Flow"), "A page of flows.")
            .records(),
        get("/api/flows/name/{name}", "read_flow_named", "Read a flow by its name")
            .answers(200, one("Flow"), "The flow.")
            .refuses(404, NOT_THERE)
            .records(),
        get("/api/flows/{id}", "read_flow", "Read a flow")
            .answers(200, one("Flow"), "The flow.")
            .refuses(404, NOT_THERE)
            .records(),
    ]
}

/// What flow runs and task runs have in common.
fn of_runs(
    collection: &'static str,
    create: &'static str,
    run: &'static str,
) -> impl Iterator<Item = Operation> {
    let is_flow = collection == "flow_runs";
    let of = |flow: &'static str, task: &'static str| if is_flow { flow } else { task };
    let states = of("/api/flow_run_states/", "/api/task_run_states/");
    let of_run = of("flow_run_id", "task_run_id");
    [
        post(
            of("/api/flow_runs/", "/api/task_runs/"),
            of("create_flow_run", "create_task_run"),
            of("Record a flow run", "Record a task run"),
        )
        .body(create)
        .answers(200, one(run), "It was recorded before.")
        .answers(201, one(run), "The new run.")
        .refuses(409, "Its flow is not known, or its id is that of a run of the other kind.")
        .refuses(422, of("Invalid.", "Invalid; or a task that is left to a task worker."))
        .records(),
        post(
            of("/api/flow_runs/filter", "/api/task_runs/filter"),
            of("list_flow_runs", "list_task_runs"),
            of("List flow runs", "List task runs"),
        )
        .optional_body(of("ListFlowRuns", "ListTaskRuns"))
        .answers(200, list(run), "A page of runs.")
        .records(),
        post(
            of("/api/flow_runs/count", "/api/task_runs/count"),
            of("count_flow_runs", "count_task_runs"),
            of("Count flow runs", "Count task runs"),
        )
        .optional_body("FilterRuns")
        .answers(200, json!({"type": "integer", "minimum": 0}), "How many there are.")
        .records(),
        get(
            of("/api/flow_runs/{id}", "/api/task_runs/{id}"),
            of("read_flow_run", "read_task_run"),
            of("Read a flow run", "Read a task run"),
        )
        .answers(200, one(run), "The run.")
        .refuses(404, NOT_THERE)
        .records(),
        post(
            of("/api/flow_runs/{id}/set_state", "/api/task_runs/{id}/set_state"),
            of("set_flow_run_state", "set_task_run_state"),
            of("Propose a flow run's next state", "Propose a task run's next state"),
        )
        .about(
            "A task run that is to be RUNNING takes a slot of each of its tags, and any state \
                 but RUNNING and CANCELLING gives them back.",
        )
        .body("SetState")
        .answers(200, one("Transition"), "Rejected, aborted, or to be asked for again.")
        .answers(201, one("Transition"), "Accepted.")
        .refuses(404, NOT_THERE)
        .records(),
        get(
            states,
            of("list_flow_run_states", "list_task_run_states"),
            of("List a flow run's states", "List a task run's states"),
        )
        .query(of_run, "The run.", json!({"type": "string", "format": "uuid"}), true)
        .answers(200, list("State"), "The state that it is in.")
        .invalid()
        .records(),
    ]
    .into_iter()
}

/// What clients before version 3 ask for to know where results are.
fn blocks() -> Vec<Operation> {
    let thing = || json!({"type": "object"});
    vec![
        post("/api/block_types/", "create_block_type", "Record a type of blocks")
            .about("Of one type alone, `local-file-system`; there are no others here.")
            .free_body(&json!({"slug": "local-file-system", "name": "Local File System"}))
            .answers(201, thing(), "It is known.")
            .refuses(404, "Of another type.")
            .records(),
        get("/api/block_types/slug/{slug}", "read_block_type", "Read a type of blocks")
            .answers(200, thing(), "The type.")
            .refuses(404, NOT_THERE),
        patch("/api/block_types/{id}", "update_block_type", "Change a type of blocks")
            .done(204, "Taken.")
            .refuses(404, NOT_THERE)
            .records(),
        post("/api/block_schemas/", "create_block_schema", "Record a schema of blocks")
            .free_body(&json!({"block_type_id": "5f0c2f9e-7d1b-4c6a-9a53-3f1f2b7d8e10"}))
            .answers(201, thing(), "It is known.")
            .refuses(409, "Its type is not known.")
            .records(),
        get(
            "/api/block_schemas/checksum/{checksum}",
            "read_block_schema",
            "Read a schema of blocks",
        )
        .answers(200, thing(), "The schema.")
        .refuses(404, NOT_THERE),
        post("/api/block_documents/", "create_block", "Record where results are")
            .free_body(&json!({
                "is_anonymous": true,
                "block_type_id": "5f0c2f9e-7d1b-4c6a-9a53-3f1f2b7d8e10",
                "block_schema_id": "5f0c2f9e-7d1b-4c6a-9a53-3f1f2b7d8e10",
                "data": {"basepath": "/tmp"},
            }))
            .refuses(404, "It has a name, and is no place of results.")
            .refuses(409, "Its type or its schema is not known.")
            .answers(201, thing(), "The block.")
            .records(),
        get("/api/block_documents/{id}", "read_block", "Read where results are")
            .answers(200, thing(), "The block.")
            .refuses(404, NOT_THERE)
            .records(),
    ]
}

const KINDS: &str = "Of this kind: `lease.expired`, or `lease` for all kinds that begin with it. \
     There are `limit.created`, `limit.changed`, `limit.deleted`, `lease.granted`, \
     `lease.renewed_late`, `lease.released`, `lease.expired`, `lease.revoked`, \
     `lease.repossessed`, `lease.moved_out`, `lease.moved_in`, `slots.taken`, `slots.given_back`, \
     `waiter.queued`, `waiter.left`, `log.dropped`, and whatever clients send.";

/// The log of events, which is ours alone.
pub(super) fn event_log(settings: &Settings) -> Operation {
    let text = || json!({"type": "string"});
    let time = || json!({"type": "string", "format": "date-time"});
    let count: Value = json!({"type": "integer", "minimum": 0});
    let most = settings.page_size;
    let page = json!({"type": "integer", "minimum": 1, "maximum": most, "default": most});
    get("/api/leasehold/events", "list_events", "Page through what happened, or follow it")
        .about(
            "With `Accept: text/event-stream` the connection stays open and tells what happens \
             from now on, or after `Last-Event-ID`.",
        )
        .query("limit", "Of the limit with this name; `tag:a` for the tag `a`.", text(), false)
        .query("holder", "Of the holder with this id.", text(), false)
        .query("kind", KINDS, text(), false)
        .query("lease", "Of this lease.", json!({"type": "string", "format": "uuid"}), false)
        .query("since", "Not before this time.", time(), false)
        .query("until", "Before this time.", time(), false)
        .query("after", "Behind the event with this number, in the order asked for.", count, false)
        .query("newest_first", "The newest first, on pages.", json!({"type": "boolean"}), false)
        .query("page_size", "The most to list.", page, false)
        .answers(200, one("EventPage"), "A page of events.")
        .invalid()
        .records()
        .ours()
}
