//! Replays what the recorded server answered: this server accepts the same bodies, reads the same
//! values in them, and refuses the others with the same answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod read;

use leasehold_prefect::Invalid;
use serde::Deserialize;
use serde_json::Value;

use read::{Endpoint, read};

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    case: String,
    endpoint: Endpoint,
    body: String,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    refused: Option<Value>,
    #[serde(default)]
    errors: Option<Value>,
    #[serde(default)]
    echo: Option<Value>,
    #[serde(default)]
    read: Option<Value>,
}

impl Case {
    fn replay(&self) -> Result<Value, Invalid> {
        read(self.endpoint, self.id.as_deref(), self.content_type.as_deref(), self.body.as_bytes())
    }

    fn name(&self) -> String {
        let Self { case, endpoint, content_type, body, .. } = self;
        format!("{case} {endpoint:?} {content_type:?} {body}")
    }

    /// The body as it is echoed.
    fn echo(&self) -> Value {
        let text = self.body.trim_start_matches('\u{feff}');
        let parsed = || serde_json::from_str(text).unwrap_or(Value::Null);
        self.echo.clone().unwrap_or_else(parsed)
    }
}

fn cases(lines: &str) -> Vec<Case> {
    let cases: Vec<Case> =
        (lines.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() > 100, "the recording is not there");
    cases
}

/// Text, because the order of keys counts.
fn written(value: &impl serde::Serialize) -> String {
    let written = serde_json::to_string(value).unwrap();
    serde_json::from_str::<Value>(&written).unwrap().to_string()
}

#[test]
fn recorded_requests_are_answered_as_recorded() {
    for case in cases(include_str!("data/recorded.jsonl")) {
        match (&case.refused, case.replay()) {
            (None, Ok(_)) => {}
            (None, Err(invalid)) => panic!("{}: refused with {}", case.name(), written(&invalid)),
            (Some(_), Ok(read)) => panic!("{}: read as {read}", case.name()),
            (Some(refused), Err(invalid)) => {
                assert_eq!(written(&invalid), written(refused), "{}", case.name());
                assert_eq!(invalid.status(), 422, "{}", case.name());
            }
        }
    }
}

#[test]
fn odd_bodies_are_read_and_refused_as_the_recorded_validation_does() {
    for case in cases(include_str!("data/asked.jsonl")) {
        match (&case.errors, &case.read, case.replay()) {
            (None, None, Ok(_)) => {}
            (None, Some(expected), Ok(read)) => {
                assert_eq!(read, without_ints(expected), "{}", case.name());
            }
            (Some(errors), None, Err(invalid)) => {
                let answer: Value = serde_json::from_str(&written(&invalid)).unwrap();
                match answer.get("exception_detail") {
                    Some(details) => {
                        assert_eq!(details.to_string(), written(errors), "{}", case.name());
                        let echo = answer["request_body"].to_string();
                        assert_eq!(echo, case.echo().to_string(), "{}", case.name());
                    }
                    None => assert_eq!(answer.to_string(), written(errors), "{}", case.name()),
                }
            }
            (_, _, answer) => panic!("{}: {answer:?}", case.name()),
        }
    }
}

/// The fields that are floats are written as integers by a server that got an integer default.
fn without_ints(expected: &Value) -> Value {
    let mut expected = expected.clone();
    for name in ["lease_duration", "slot_decay_per_second", "occupancy_seconds"] {
        if let Some(value) = expected.get_mut(name)
            && let Some(float) = value.as_f64()
        {
            *value = float.into();
        }
    }
    expected
}
