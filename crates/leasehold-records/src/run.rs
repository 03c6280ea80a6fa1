//! Runs of flows and tasks.

pub(crate) mod pauses;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::state::{State, StateType};

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// A flow.
    FlowRun,
    /// A task.
    TaskRun,
}

impl RunKind {
    /// `flow_run` or `task_run`, as the kinds of holders are called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FlowRun => "flow_run",
            Self::TaskRun => "task_run",
        }
    }

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::FlowRun, Self::TaskRun].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What makes a run the same one when its client creates it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity(pub String);

/// A run of a flow or of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// What runs.
    pub kind: RunKind,
    /// Its name.
    pub name: String,
    /// When a client first created it.
    pub created_micros: i64,
    /// When it last changed.
    pub updated_micros: i64,
    /// Of a flow run: its flow.
    pub flow: Option<Uuid>,
    /// What it runs in: a task run in its flow run, a subflow's run in the task run that stands
    /// for it in its parent.
    pub parent: Option<Uuid>,
    /// What makes it the same run when a client creates it again.
    pub identity: Option<Identity>,
    /// Its tags.
    pub tags: Vec<String>,
    /// What its client sent with it.
    pub details: Map<String, Value>,
    /// The state that it is in.
    pub state: Option<State>,
    /// How often it has begun to run.
    pub run_count: u64,
    /// Of a task run: how often its flow run had begun when it last began.
    #[serde(default)]
    pub flow_run_run_count: u64,
    /// When it was to begin, if that is not when it was created.
    #[serde(default)]
    pub expected_micros: Option<i64>,
    /// When it first began to run.
    pub start_micros: Option<i64>,
    /// When it ended.
    pub end_micros: Option<i64>,
    /// For how long it has run, all attempts together.
    #[serde(default)]
    pub total_run_micros: i64,
    /// Of a flow run: when it last sent a heartbeat, if it ever did.
    #[serde(default)]
    pub heartbeat_micros: Option<i64>,
}

impl Run {
    /// A run with an id, a kind and a name; its other fields are empty.
    pub fn new(id: Uuid, kind: RunKind, name: String, now_micros: i64) -> Self {
        Self {
            id,
            kind,
            name,
            created_micros: now_micros,
            updated_micros: now_micros,
            flow: None,
            parent: None,
            identity: None,
            tags: Vec::new(),
            details: Map::new(),
            state: None,
            run_count: 0,
            flow_run_run_count: 0,
            expected_micros: None,
            start_micros: None,
            end_micros: None,
            total_run_micros: 0,
            heartbeat_micros: None,
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.kind.is_terminal())
    }

    /// The kind of state that it is in.
    pub fn state_type(&self) -> Option<StateType> {
        self.state.as_ref().map(|state| state.kind)
    }

    /// When it is due, if it is to begin later.
    pub fn due_micros(&self) -> Option<i64> {
        let state = self.state.as_ref()?;
        let may_wait = matches!(state.kind, StateType::Scheduled | StateType::Pending);
        state.scheduled_micros().filter(|_| may_wait)
    }

    /// Enters a state: counts attempts and adds up times.
    pub fn enter(&mut self, state: State) {
        let at = state.at_micros;
        if let Some(left) = self.state.as_ref().filter(|left| left.kind == StateType::Running) {
            self.total_run_micros += (at - left.at_micros).max(0);
        }
        let was = self.state_type();
        match state.kind {
            StateType::Running => {
                // A client that numbers no transitions may repeat one.
                let is_repeated = self.kind == RunKind::TaskRun && was == Some(StateType::Running);
                if self.kind == RunKind::TaskRun && was.is_some_and(StateType::is_terminal) {
                    // Its flow runs again, and the task has all its attempts again.
                    self.run_count = 0;
                }
                self.run_count += u64::from(!is_repeated);
                self.start_micros.get_or_insert(at);
                self.end_micros = None;
            }
            kind if kind.is_terminal() => {
                self.start_micros.get_or_insert(at);
                self.end_micros = Some(at);
            }
            _ => self.end_micros = None,
        }
        self.updated_micros = at;
        let left = self.state.take();
        if self.kind == RunKind::FlowRun {
            pauses::remember(self, left.as_ref(), &state);
        }
        self.state = Some(state);
    }

    /// Whether another attempt may follow a failure, and after how many seconds.
    pub fn retry_seconds(&self) -> Option<f64> {
        let policy = self.details.get("empirical_policy")?;
        let number = |name: &str| policy.get(name).and_then(Value::as_f64);
        let retries = number("retries").or_else(|| number("max_retries")).unwrap_or(0.0);
        if self.run_count as f64 > retries {
            return None;
        }
        let attempt = usize::try_from(self.run_count).unwrap_or(usize::MAX).saturating_sub(1);
        let seconds = match policy.get("retry_delay") {
            Some(Value::Array(delays)) => {
                let delay = delays.get(attempt).or(delays.last());
                delay.and_then(Value::as_f64)
            }
            Some(delay) => delay.as_f64(),
            None => number("retry_delay_seconds"),
        };
        Some(seconds.filter(|seconds| *seconds > 0.0).unwrap_or(0.0))
    }
}
