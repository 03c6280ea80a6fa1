//! Flows, flow runs and task runs: what clients record of their work. Most of what they say is
//! kept as it came and given back.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::Timestamp;
use crate::body::{Patch, body};
use crate::rule::{Any, BOOLEAN, COUNT, Fields, ID, ListOf, Nested, OneOf, PageSize, TEXT};
use crate::schema::{Shown, answer, choice, reference};

choice! {
    /// What kind of state a run is in.
    pub enum StateType {
        /// To begin at a certain time.
        Scheduled = "SCHEDULED",
        /// About to begin.
        Pending = "PENDING",
        /// At work.
        Running = "RUNNING",
        /// Over, and well.
        Completed = "COMPLETED",
        /// Over: its code failed.
        Failed = "FAILED",
        /// Over: somebody stopped it.
        Cancelled = "CANCELLED",
        /// Over: its process was lost.
        Crashed = "CRASHED",
        /// Waiting to be told to go on.
        Paused = "PAUSED",
        /// Asked to stop.
        Cancelling = "CANCELLING",
    }
}

body! {
    /// A flow to be recorded, if it is not yet.
    pub struct CreateFlow: Parameters {
        /// Its name.
        pub name: String = required("name", TEXT);
        /// Its tags.
        pub tags: Option<Vec<String>> = optional("tags", ListOf(TEXT));
        /// Its labels.
        pub labels: Option<Map<String, Value>> = optional("labels", Fields);
    }
}

body! {
    /// A state that a run is to enter.
    pub struct ProposedState: Parameters {
        /// Its kind.
        pub kind: StateType = required("type", OneOf::RULE);
        /// Its name; that of its kind when absent.
        pub name: Option<String> = optional("name", TEXT);
        /// A sentence.
        pub message: Option<String> = optional("message", TEXT);
        /// What is known of the run's result.
        pub data: Option<Value> = optional("data", Any);
        /// What its client knows besides.
        pub state_details: Option<Map<String, Value>> = optional("state_details", Fields);
    }
}

impl Serialize for ProposedState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut state = serializer.serialize_struct("ProposedState", 5)?;
        state.serialize_field("type", &self.kind)?;
        state.serialize_field("name", &self.name)?;
        state.serialize_field("message", &self.message)?;
        state.serialize_field("data", &self.data)?;
        state.serialize_field("state_details", &self.state_details)?;
        state.end()
    }
}

impl Shown for ProposedState {
    fn schema() -> Value {
        reference("ProposedState")
    }
}

body! {
    /// A flow run to be recorded.
    pub struct CreateFlowRun: Parameters {
        /// The flow that runs.
        pub flow_id: Uuid = required("flow_id", ID);
        /// Its first state.
        pub state: Option<ProposedState> = optional("state", Nested::RULE);
        /// Its name; one is made up when absent.
        pub name: Option<String> = optional("name", TEXT);
        /// The version of the flow.
        pub flow_version: Option<String> = optional("flow_version", TEXT);
        /// The deployment that it is of; nothing is known here of deployments.
        pub deployment_id: Option<Uuid> = optional("deployment_id", ID);
        /// What the flow is called with.
        pub parameters: Option<Map<String, Value>> = optional("parameters", Fields);
        /// What its client wants to remember.
        pub context: Option<Map<String, Value>> = optional("context", Fields);
        /// The task run that stands for it in the flow run that called it.
        pub parent_task_run_id: Option<Uuid> = optional("parent_task_run_id", ID);
        /// How often it is retried, and after how long.
        pub empirical_policy: Option<Map<String, Value>> = optional("empirical_policy", Fields);
        /// Its tags.
        pub tags: Option<Vec<String>> = optional("tags", ListOf(TEXT));
        /// Its labels.
        pub labels: Option<Map<String, Value>> = optional("labels", Fields);
        /// Asked for again with the same key, the flow has the same run.
        pub idempotency_key: Option<String> = optional("idempotency_key", TEXT);
        /// What its client wants to remember of where it runs.
        pub job_variables: Option<Map<String, Value>> = optional("job_variables", Fields);
    }
}

body! {
    /// Changes to a flow run. What is not sent stays.
    pub struct UpdateFlowRun: Parameters {
        /// Its new name.
        pub name: Patch<String> = patched("name", TEXT);
        /// The version of the flow.
        pub flow_version: Patch<String> = patched("flow_version", TEXT);
        /// What the flow is called with.
        pub parameters: Patch<Map<String, Value>> = patched("parameters", Fields);
        /// How often it is retried, and after how long.
        pub empirical_policy: Patch<Map<String, Value>> = patched("empirical_policy", Fields);
        /// Its tags.
        pub tags: Patch<Vec<String>> = patched("tags", ListOf(TEXT));
        /// What identifies its process.
        pub infrastructure_pid: Patch<String> = patched("infrastructure_pid", TEXT);
        /// What its client wants to remember of where it runs.
        pub job_variables: Patch<Map<String, Value>> = patched("job_variables", Fields);
    }
}

body! {
    /// A task run to be recorded.
    pub struct CreateTaskRun: Parameters {
        /// Its id; one is made up when absent.
        pub id: Option<Uuid> = optional("id", ID);
        /// The flow run that it belongs to.
        pub flow_run_id: Option<Uuid> = optional("flow_run_id", ID);
        /// The task that runs.
        pub task_key: String = required("task_key", TEXT);
        /// Which one of the task's runs in its flow run.
        pub dynamic_key: String = required("dynamic_key", TEXT);
        /// Its first state.
        pub state: Option<ProposedState> = optional("state", Nested::RULE);
        /// Its name; one is made up when absent.
        pub name: Option<String> = optional("name", TEXT);
        /// Under what its result may be kept.
        pub cache_key: Option<String> = optional("cache_key", TEXT);
        /// Until when.
        pub cache_expiration: Option<String> = optional("cache_expiration", TEXT);
        /// The version of the task.
        pub task_version: Option<String> = optional("task_version", TEXT);
        /// How often it is retried, and after how long.
        pub empirical_policy: Option<Map<String, Value>> = optional("empirical_policy", Fields);
        /// Its tags.
        pub tags: Option<Vec<String>> = optional("tags", ListOf(TEXT));
        /// Its labels.
        pub labels: Option<Map<String, Value>> = optional("labels", Fields);
        /// Where its parameters come from.
        pub task_inputs: Option<Map<String, Value>> = optional("task_inputs", Fields);
    }
}

body! {
    /// Changes to a task run. What is not sent stays.
    pub struct UpdateTaskRun: Model {
        /// Its new name.
        pub name: Patch<String> = patched("name", TEXT);
    }
}

body! {
    /// A state that a run is to enter.
    pub struct SetState: Parameters {
        /// The state.
        pub state: ProposedState = required("state", Nested::RULE);
        /// Whether it is entered whatever the rules say.
        pub force: bool = defaulted("force", BOOLEAN, |_| false);
    }
}

body! {
    /// A paused flow run is to go on.
    pub struct ResumeFlowRun: Parameters {
        /// What a flow that waits for input is to get; none does here, so it is ignored.
        pub run_input: Option<Map<String, Value>> = optional("run_input", Fields);
    }
}

body! {
    /// The run whose states are asked for.
    pub struct StatesOf: Parameters {
        /// A flow run, where states of flow runs are asked for.
        pub flow_run_id: Option<Uuid> = optional("flow_run_id", ID);
        /// A task run, where states of task runs are.
        pub task_run_id: Option<Uuid> = optional("task_run_id", ID);
    }
}

choice! {
    /// In which order flows are listed.
    pub enum FlowSort {
        /// By when they were recorded, the newest first.
        CreatedDesc = "CREATED_DESC",
        /// By when they were changed, the latest first.
        UpdatedDesc = "UPDATED_DESC",
        /// By name.
        NameAsc = "NAME_ASC",
        /// The same, the last first.
        NameDesc = "NAME_DESC",
    }
}

body! {
    /// A page of flows.
    pub struct ListFlows: Parameters {
        /// How many results at most.
        pub limit: u64 = defaulted("limit", PageSize, |settings| settings.page_size);
        /// How many results to skip.
        pub offset: u64 = defaulted("offset", COUNT, |_| 0);
        /// Which flows.
        pub flows: Option<Map<String, Value>> = optional("flows", Fields);
        /// In which order.
        pub sort: FlowSort = defaulted("sort", OneOf::MEMBER, |_| FlowSort::NameAsc);
    }
}

choice! {
    /// In which order flow runs are listed.
    pub enum FlowRunSort {
        /// The newest id first.
        IdDesc = "ID_DESC",
        /// By when they began, or are expected to.
        StartTimeAsc = "START_TIME_ASC",
        /// The same, the latest first.
        StartTimeDesc = "START_TIME_DESC",
        /// By when they are expected to begin.
        ExpectedStartTimeAsc = "EXPECTED_START_TIME_ASC",
        /// The same, the latest first.
        ExpectedStartTimeDesc = "EXPECTED_START_TIME_DESC",
        /// By name.
        NameAsc = "NAME_ASC",
        /// The same, the last first.
        NameDesc = "NAME_DESC",
        /// By when they are to begin again.
        NextScheduledStartTimeAsc = "NEXT_SCHEDULED_START_TIME_ASC",
        /// By when they were over, the latest first.
        EndTimeDesc = "END_TIME_DESC",
    }
}

choice! {
    /// In which order task runs are listed.
    pub enum TaskRunSort {
        /// The newest id first.
        IdDesc = "ID_DESC",
        /// By when they are expected to begin.
        ExpectedStartTimeAsc = "EXPECTED_START_TIME_ASC",
        /// The same, the latest first.
        ExpectedStartTimeDesc = "EXPECTED_START_TIME_DESC",
        /// By name.
        NameAsc = "NAME_ASC",
        /// The same, the last first.
        NameDesc = "NAME_DESC",
        /// By when they are to begin again.
        NextScheduledStartTimeAsc = "NEXT_SCHEDULED_START_TIME_ASC",
        /// By when they were over, the latest first.
        EndTimeDesc = "END_TIME_DESC",
        /// By how long they have run, the longest first.
        DurationDesc = "DURATION_DESC",
        /// The same, the shortest first.
        DurationAsc = "DURATION_ASC",
    }
}

/// Declares a list of runs: [`FilterRuns`] in an order.
macro_rules! list_runs {
    ($(#[doc = $about:literal])+ $name:ident, $sort:ident) => {
        body! {
            $(#[doc = $about])+
            pub struct $name: Parameters {
                /// In which order.
                pub sort: $sort = defaulted("sort", OneOf::MEMBER, |_| $sort::IdDesc);
                /// By their flows.
                pub flows: Option<Map<String, Value>> = optional("flows", Fields);
                /// By flow runs.
                pub flow_runs: Option<Map<String, Value>> = optional("flow_runs", Fields);
                /// By task runs.
                pub task_runs: Option<Map<String, Value>> = optional("task_runs", Fields);
                /// How many results at most.
                pub limit: u64 = defaulted("limit", PageSize, |settings| settings.page_size);
                /// How many results to skip.
                pub offset: u64 = defaulted("offset", COUNT, |_| 0);
            }
        }

        impl $name {
            /// The order, and which runs are listed in it.
            #[must_use]
            pub fn into_parts(self) -> ($sort, FilterRuns) {
                let Self { sort, flows, flow_runs, task_runs, limit, offset } = self;
                (sort, FilterRuns { flows, flow_runs, task_runs, limit, offset })
            }
        }
    };
}

list_runs! {
    /// A page of flow runs.
    ListFlowRuns, FlowRunSort
}

list_runs! {
    /// A page of task runs.
    ListTaskRuns, TaskRunSort
}

body! {
    /// Which runs are looked for.
    pub struct FilterRuns: Parameters {
        /// By their flows.
        pub flows: Option<Map<String, Value>> = optional("flows", Fields);
        /// By themselves, where flow runs are looked for; by their flow runs, where task runs are.
        pub flow_runs: Option<Map<String, Value>> = optional("flow_runs", Fields);
        /// By themselves, where task runs are looked for.
        pub task_runs: Option<Map<String, Value>> = optional("task_runs", Fields);
        /// How many results at most.
        pub limit: u64 = defaulted("limit", PageSize, |settings| settings.page_size);
        /// How many results to skip.
        pub offset: u64 = defaulted("offset", COUNT, |_| 0);
    }
}

answer! {
    /// A flow.
    pub struct Flow {
        /// Its id.
        pub id: Uuid,
        /// When it was recorded.
        pub created: Timestamp,
        /// When it was last changed.
        pub updated: Timestamp,
        /// Its name.
        pub name: String,
        /// Its tags.
        pub tags: Value,
        /// Its labels.
        pub labels: Value,
    }
}

answer! {
    /// A state that a run is in.
    pub struct State {
        /// Its id.
        pub id: Uuid,
        /// Its kind.
        pub r#type: String,
        /// Its name.
        pub name: String,
        /// When it began.
        pub timestamp: Timestamp,
        /// A sentence.
        pub message: Option<String>,
        /// What is known of the run's result.
        pub data: Value,
        /// What its client knows besides.
        pub state_details: Value,
    }
}

answer! {
    /// What the runs of flows and of tasks have in common.
    pub struct Run {
        /// Its id.
        pub id: Uuid,
        /// When it was recorded.
        pub created: Timestamp,
        /// When it was last changed.
        pub updated: Timestamp,
        /// Its name.
        pub name: String,
        /// The id of its state.
        pub state_id: Option<Uuid>,
        /// How often it is retried, and after how long.
        pub empirical_policy: Value,
        /// Its tags.
        pub tags: Vec<String>,
        /// Its labels.
        pub labels: Value,
        /// The kind of its state.
        pub state_type: Option<String>,
        /// The name of its state.
        pub state_name: Option<String>,
        /// How often it has begun to run.
        pub run_count: u64,
        /// When it was to begin.
        pub expected_start_time: Option<Timestamp>,
        /// When it is to begin again.
        pub next_scheduled_start_time: Option<Timestamp>,
        /// When it began.
        pub start_time: Option<Timestamp>,
        /// When it was over.
        pub end_time: Option<Timestamp>,
        /// For how long it ran until its state began, in seconds.
        pub total_run_time: f64,
        /// For how long it has run by now, in seconds.
        pub estimated_run_time: f64,
        /// How much later than expected it began, in seconds.
        pub estimated_start_time_delta: f64,
        /// Its state.
        pub state: Option<State>,
    }
}

answer! {
    /// A run of a flow.
    pub struct FlowRun: Run {
        /// The flow that runs.
        pub flow_id: Option<Uuid>,
        /// The deployment that it is of.
        pub deployment_id: Value,
        /// Nothing is known here of deployments.
        pub deployment_version: Option<String>,
        /// Nothing is known here of work queues.
        pub work_queue_id: Option<Uuid>,
        /// Nothing is known here of work queues.
        pub work_queue_name: Option<String>,
        /// The version of the flow.
        pub flow_version: Value,
        /// What the flow is called with.
        pub parameters: Value,
        /// What makes it the same run when it is asked for again.
        pub idempotency_key: Value,
        /// What its client wants to remember.
        pub context: Value,
        /// The task run that stands for it in the flow run that called it.
        pub parent_task_run_id: Option<Uuid>,
        /// Always false: nothing is scheduled here.
        pub auto_scheduled: bool,
        /// Nothing is known here of infrastructure.
        pub infrastructure_document_id: Option<Uuid>,
        /// What identifies its process.
        pub infrastructure_pid: Value,
        /// Nothing is known here of who made it.
        pub created_by: Option<String>,
        /// Nothing is known here of work pools.
        pub work_pool_id: Option<Uuid>,
        /// Nothing is known here of work pools.
        pub work_pool_name: Option<String>,
        /// What its client wants to remember of where it runs.
        pub job_variables: Value,
    }
}

answer! {
    /// A run of a task.
    pub struct TaskRun: Run {
        /// The flow run that it belongs to.
        pub flow_run_id: Option<Uuid>,
        /// The task that runs.
        pub task_key: Value,
        /// Which one of the task's runs in its flow run.
        pub dynamic_key: Value,
        /// Under what its result may be kept.
        pub cache_key: Value,
        /// Until when.
        pub cache_expiration: Value,
        /// The version of the task.
        pub task_version: Value,
        /// Where its parameters come from.
        pub task_inputs: Value,
        /// How often its flow run had begun when it last began.
        pub flow_run_run_count: u64,
    }
}

answer! {
    /// What became of a state that was proposed.
    pub struct Transition {
        /// The state that the run is in now.
        pub state: Option<State>,
        /// `ACCEPT`, `REJECT`, `WAIT` or `ABORT`.
        pub status: String,
        /// Why, and for how long to wait.
        pub details: Value,
    }
}
