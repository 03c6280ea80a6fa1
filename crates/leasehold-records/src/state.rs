//! A state of a run.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What kind of state a run is in. The words are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StateType {
    /// To begin at a certain time.
    Scheduled,
    /// About to begin.
    Pending,
    /// It runs.
    Running,
    /// Over: it succeeded.
    Completed,
    /// Over: its code failed.
    Failed,
    /// Over: a client cancelled it.
    Cancelled,
    /// Over: its process was lost.
    Crashed,
    /// It waits to be resumed.
    Paused,
    /// A client has asked it to stop.
    Cancelling,
}

impl StateType {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Scheduled,
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Crashed,
        Self::Paused,
        Self::Cancelling,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Crashed => "CRASHED",
            Self::Paused => "PAUSED",
            Self::Cancelling => "CANCELLING",
        }
    }

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether a run in it is over.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled | Self::Crashed => true,
            Self::Scheduled | Self::Pending | Self::Running | Self::Paused | Self::Cancelling => {
                false
            }
        }
    }

    /// The name of a state whose client gave it none.
    pub fn usual_name(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Crashed => "Crashed",
            Self::Paused => "Paused",
            Self::Cancelling => "Cancelling",
        }
    }
}

/// A state that a run is in, was in, or is to enter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its id.
    pub id: Uuid,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: StateType,
    /// Its name, which says more than its kind: `AwaitingRetry`.
    pub name: String,
    /// When it began.
    pub at_micros: i64,
    /// A sentence.
    pub message: Option<String>,
    /// The result, as its client describes it.
    pub data: Value,
    /// Other fields from its client.
    pub details: Map<String, Value>,
}

impl State {
    /// The transition that led here, if its client numbers them.
    pub fn transition_id(&self) -> Option<&str> {
        self.details.get("transition_id").and_then(Value::as_str)
    }

    /// When a scheduled state is due, if it says so.
    pub fn scheduled_micros(&self) -> Option<i64> {
        let text = self.details.get("scheduled_time").and_then(Value::as_str)?;
        micros_from_text(text)
    }

    /// Whether there is a result that other programs can read.
    pub fn has_persisted_result(&self) -> bool {
        match &self.data {
            Value::Null => false,
            Value::Object(data) => data.get("type").and_then(Value::as_str) != Some("unpersisted"),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => true,
        }
    }
}

/// A point in time as clients write it (RFC 3339), if it is one.
pub fn micros_from_text(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}
