//! Which flows and runs to list, and in which order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::declaration::body;
use crate::rule::{COUNT, Fields, OneOf, PageSize};

/// The order of a list of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum FlowSort {
    /// By creation, the newest first.
    CreatedDesc,
    /// By last change, the latest first.
    UpdatedDesc,
    /// By name, `a` first.
    NameAsc,
    /// By name, `z` first.
    NameDesc,
}

body! {
    /// A page of flows.
    pub struct ListFlows: Parameters {
        /// How many results at most.
        pub limit: u64 = defaulted(PageSize, |settings| settings.page_size);
        /// How many results to skip.
        pub offset: u64 = defaulted(COUNT, |_| 0);
        /// Which flows.
        pub flows: Option<Map<String, Value>> = optional(Fields);
        /// In which order.
        pub sort: FlowSort = defaulted(OneOf::MEMBER, |_| FlowSort::NameAsc);
    }
}

/// The order of a list of flow runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum FlowRunSort {
    /// The newest id first.
    IdDesc,
    /// By actual or expected start, the earliest first.
    StartTimeAsc,
    /// By actual or expected start, the latest first.
    StartTimeDesc,
    /// By expected start, the earliest first.
    ExpectedStartTimeAsc,
    /// By expected start, the latest first.
    ExpectedStartTimeDesc,
    /// By name, `a` first.
    NameAsc,
    /// By name, `z` first.
    NameDesc,
    /// By next scheduled start, the earliest first.
    NextScheduledStartTimeAsc,
    /// By end, the latest first.
    EndTimeDesc,
}

/// The order of a list of task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum TaskRunSort {
    /// The newest id first.
    IdDesc,
    /// By expected start, the earliest first.
    ExpectedStartTimeAsc,
    /// By expected start, the latest first.
    ExpectedStartTimeDesc,
    /// By name, `a` first.
    NameAsc,
    /// By name, `z` first.
    NameDesc,
    /// By next scheduled start, the earliest first.
    NextScheduledStartTimeAsc,
    /// By end, the latest first.
    EndTimeDesc,
    /// By run time, the longest first.
    DurationDesc,
    /// By run time, the shortest first.
    DurationAsc,
}

/// Declares a list of runs: [`FilterRuns`] in an order.
macro_rules! list_runs {
    ($(#[$about:meta])+ $name:ident, $sort:ident) => {
        body! {
            $(#[$about])+
            pub struct $name: Parameters {
                /// In which order.
                pub sort: $sort = defaulted(OneOf::MEMBER, |_| $sort::IdDesc);
                /// By their flows.
                pub flows: Option<Map<String, Value>> = optional(Fields);
                /// By flow runs.
                pub flow_runs: Option<Map<String, Value>> = optional(Fields);
                /// By task runs.
                pub task_runs: Option<Map<String, Value>> = optional(Fields);
                /// How many results at most.
                pub limit: u64 = defaulted(PageSize, |settings| settings.page_size);
                /// How many results to skip.
                pub offset: u64 = defaulted(COUNT, |_| 0);
            }
        }

        impl $name {
            /// The order, and which runs to list.
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
    /// Which runs to find.
    pub struct FilterRuns: Parameters {
        /// By their flows.
        pub flows: Option<Map<String, Value>> = optional(Fields);
        /// By themselves, for flow runs; by their flow runs, for task runs.
        pub flow_runs: Option<Map<String, Value>> = optional(Fields);
        /// By themselves, for task runs.
        pub task_runs: Option<Map<String, Value>> = optional(Fields);
        /// How many results at most.
        pub limit: u64 = defaulted(PageSize, |settings| settings.page_size);
        /// How many results to skip.
        pub offset: u64 = defaulted(COUNT, |_| 0);
    }
}
