//! Flows, runs and states as clients read them.

use leasehold_api::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// A state that a run is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Further details of its client.
    pub state_details: Value,
}

/// The fields that flow runs and task runs have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// When it was expected to begin.
    pub expected_start_time: Option<Timestamp>,
    /// Its next scheduled start.
    pub next_scheduled_start_time: Option<Timestamp>,
    /// When it began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
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

/// A run of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowRun {
    /// The fields of every run.
    #[serde(flatten)]
    pub common: Run,
    /// The flow that runs.
    pub flow_id: Option<Uuid>,
    /// Its deployment.
    pub deployment_id: Value,
    /// Always `null`: there are no deployments here.
    pub deployment_version: Option<String>,
    /// Always `null`: there are no work queues here.
    pub work_queue_id: Option<Uuid>,
    /// Always `null`: there are no work queues here.
    pub work_queue_name: Option<String>,
    /// The version of the flow.
    pub flow_version: Value,
    /// The arguments of the flow.
    pub parameters: Value,
    /// The key by which a second request gets the same run.
    pub idempotency_key: Value,
    /// What its client wants to remember.
    pub context: Value,
    /// The task run that stands for it in the flow run that called it.
    pub parent_task_run_id: Option<Uuid>,
    /// Always false: nothing is scheduled here.
    pub auto_scheduled: bool,
    /// Always `null`: there is no infrastructure here.
    pub infrastructure_document_id: Option<Uuid>,
    /// What identifies its process.
    pub infrastructure_pid: Value,
    /// Always `null`: its author is not recorded.
    pub created_by: Option<String>,
    /// Always `null`: there are no work pools here.
    pub work_pool_id: Option<Uuid>,
    /// Always `null`: there are no work pools here.
    pub work_pool_name: Option<String>,
    /// What its client wants to remember of where it runs.
    pub job_variables: Value,
}

/// A run of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskRun {
    /// The fields of every run.
    #[serde(flatten)]
    pub common: Run,
    /// The flow run that it belongs to.
    pub flow_run_id: Option<Uuid>,
    /// The task that runs.
    pub task_key: Value,
    /// Which one of the task's runs in its flow run.
    pub dynamic_key: Value,
    /// The key under which its result may be kept.
    pub cache_key: Value,
    /// Until when its result may be kept.
    pub cache_expiration: Value,
    /// The version of the task.
    pub task_version: Value,
    /// Where its parameters come from.
    pub task_inputs: Value,
    /// How often its flow run had begun when it last began.
    pub flow_run_run_count: u64,
}

/// The answer to a proposed state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transition {
    /// The state that the run is in now.
    pub state: Option<State>,
    /// `ACCEPT`, `REJECT`, `WAIT` or `ABORT`.
    pub status: String,
    /// Why, and for how long to wait.
    pub details: Value,
}
