//! Flows, flow runs and task runs, as clients record them. The server keeps most fields as they
//! came, and returns them.

mod answers;
mod lists;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::declaration::{Patch, body};
use crate::rule::{Any, BOOLEAN, Fields, ID, ListOf, Nested, OneOf, TEXT};

pub use answers::{Flow, FlowRun, Run, State, TaskRun, Transition};
pub use lists::{
    FilterRuns, FlowRunSort, FlowSort, ListFlowRuns, ListFlows, ListTaskRuns, TaskRunSort,
};

/// The kind of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum StateType {
    /// The run begins at a certain time.
    Scheduled,
    /// The run is about to begin.
    Pending,
    /// The run is at work.
    Running,
    /// The run has succeeded.
    Completed,
    /// The code of the run has failed.
    Failed,
    /// A user has stopped the run.
    Cancelled,
    /// The process of the run was lost.
    Crashed,
    /// The run waits until a user resumes it.
    Paused,
    /// A user has asked the run to stop.
    Cancelling,
}

body! {
    /// A flow to record, unless it is recorded already.
    pub struct CreateFlow: Parameters {
        /// Its name.
        pub name: String = required(TEXT);
        /// Its tags.
        pub tags: Option<Vec<String>> = optional(ListOf(TEXT));
        /// Its labels.
        pub labels: Option<Map<String, Value>> = optional(Fields);
    }
}

body! {
    /// A state that a client proposes for a run.
    #[derive(Serialize)]
    pub struct ProposedState: Parameters {
        /// Its kind.
        pub r#type: StateType = required(OneOf::RULE);
        /// Its name; that of its kind when absent.
        pub name: Option<String> = optional(TEXT);
        /// A sentence.
        pub message: Option<String> = optional(TEXT);
        /// What is known of the run's result.
        pub data: Option<Value> = optional(Any);
        /// Further details of its client.
        pub state_details: Option<Map<String, Value>> = optional(Fields);
    }
}

body! {
    /// A flow run to record.
    pub struct CreateFlowRun: Parameters {
        /// The flow that runs.
        pub flow_id: Uuid = required(ID);
        /// Its first state.
        pub state: Option<ProposedState> = optional(Nested::RULE);
        /// Its name; the server makes one up if it is absent.
        pub name: Option<String> = optional(TEXT);
        /// The version of the flow.
        pub flow_version: Option<String> = optional(TEXT);
        /// Its deployment, which is kept and means nothing here.
        pub deployment_id: Option<Uuid> = optional(ID);
        /// The arguments of the flow.
        pub parameters: Option<Map<String, Value>> = optional(Fields);
        /// What its client wants to remember.
        pub context: Option<Map<String, Value>> = optional(Fields);
        /// The task run that stands for it in the flow run that called it.
        pub parent_task_run_id: Option<Uuid> = optional(ID);
        /// How often it is retried, and after how long.
        pub empirical_policy: Option<Map<String, Value>> = optional(Fields);
        /// Its tags.
        pub tags: Option<Vec<String>> = optional(ListOf(TEXT));
        /// Its labels.
        pub labels: Option<Map<String, Value>> = optional(Fields);
        /// A second request with the same key gets the same run.
        pub idempotency_key: Option<String> = optional(TEXT);
        /// What its client wants to remember of where it runs.
        pub job_variables: Option<Map<String, Value>> = optional(Fields);
    }
}

body! {
    /// Changes to a flow run. What is not sent stays.
    pub struct UpdateFlowRun: Parameters {
        /// Its new name.
        pub name: Patch<String> = patched(TEXT);
        /// The version of the flow.
        pub flow_version: Patch<String> = patched(TEXT);
        /// The arguments of the flow.
        pub parameters: Patch<Map<String, Value>> = patched(Fields);
        /// How often it is retried, and after how long.
        pub empirical_policy: Patch<Map<String, Value>> = patched(Fields);
        /// Its tags.
        pub tags: Patch<Vec<String>> = patched(ListOf(TEXT));
        /// What identifies its process.
        pub infrastructure_pid: Patch<String> = patched(TEXT);
        /// What its client wants to remember of where it runs.
        pub job_variables: Patch<Map<String, Value>> = patched(Fields);
    }
}

body! {
    /// A task run to record.
    pub struct CreateTaskRun: Parameters {
        /// Its id; the server makes one up if it is absent.
        pub id: Option<Uuid> = optional(ID);
        /// The flow run that it belongs to.
        pub flow_run_id: Option<Uuid> = optional(ID);
        /// The task that runs.
        pub task_key: String = required(TEXT);
        /// Which one of the task's runs in its flow run.
        pub dynamic_key: String = required(TEXT);
        /// Its first state.
        pub state: Option<ProposedState> = optional(Nested::RULE);
        /// Its name; the server makes one up if it is absent.
        pub name: Option<String> = optional(TEXT);
        /// The key under which its result may be kept.
        pub cache_key: Option<String> = optional(TEXT);
        /// Until when its result may be kept.
        pub cache_expiration: Option<String> = optional(TEXT);
        /// The version of the task.
        pub task_version: Option<String> = optional(TEXT);
        /// How often it is retried, and after how long.
        pub empirical_policy: Option<Map<String, Value>> = optional(Fields);
        /// Its tags.
        pub tags: Option<Vec<String>> = optional(ListOf(TEXT));
        /// Its labels.
        pub labels: Option<Map<String, Value>> = optional(Fields);
        /// Where its parameters come from.
        pub task_inputs: Option<Map<String, Value>> = optional(Fields);
    }
}

body! {
    /// Changes to a task run. What is not sent stays.
    pub struct UpdateTaskRun: Model {
        /// Its new name.
        pub name: Patch<String> = patched(TEXT);
    }
}

body! {
    /// A request that a run enters a state.
    pub struct SetState: Parameters {
        /// The state.
        pub state: ProposedState = required(Nested::RULE);
        /// Whether the run enters it against the rules.
        pub force: bool = defaulted(BOOLEAN, |_| false);
    }
}

body! {
    /// A request that a paused flow run goes on.
    pub struct ResumeFlowRun: Parameters {
        /// Input for the flow. Ignored: no flow waits for input here.
        pub run_input: Option<Map<String, Value>> = optional(Fields);
    }
}

body! {
    /// The flow run whose states to list.
    pub struct StatesOfFlowRun: Parameters {
        /// The flow run.
        pub flow_run_id: Uuid = required(ID);
    }
}

body! {
    /// The task run whose states to list.
    pub struct StatesOfTaskRun: Parameters {
        /// The task run.
        pub task_run_id: Uuid = required(ID);
    }
}
