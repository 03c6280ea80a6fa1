//! Compares an answer with the recorded one, in full except ids, times and jitter.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use uuid::Uuid;

use crate::fixture::Answer;

/// The headers that clients read.
const HEADERS: [&str; 3] = ["content-type", "allow", "location"];

/// Our id for each recorded id, and our CSRF token for each recorded one.
#[derive(Clone, Default)]
pub(super) struct Ids(HashMap<String, String>);

impl Ids {
    pub(super) fn learn(&mut self, recorded: &str, ours: &str) {
        self.0.insert(recorded.to_owned(), ours.to_owned());
    }

    /// A recorded request with our ids. An id that no answer has named is the client's own.
    pub(super) fn ours(&mut self, sent: &str) -> String {
        let mut ours = sent.to_owned();
        for id in ids(sent) {
            let known = id.to_lowercase();
            let id_of_ours = self.0.entry(known.clone()).or_insert(known);
            let is_upper = id.chars().any(|digit| digit.is_ascii_uppercase());
            let id_of_ours = if is_upper { id_of_ours.to_uppercase() } else { id_of_ours.clone() };
            ours = ours.replace(id, &id_of_ours);
        }
        for (recorded, token) in self.0.iter().filter(|(recorded, _)| is_token(recorded)) {
            ours = ours.replace(recorded, token);
        }
        ours
    }

    pub(super) fn compare(
        &mut self,
        recorded: (u16, Value),
        headers: &BTreeMap<String, String>,
        answer: &Answer,
    ) -> Result<(), String> {
        self.compare_body(recorded, answer)?;
        for name in HEADERS {
            let (recorded, ours) = (headers.get(name).map(String::as_str), answer.header(name));
            if recorded != ours {
                return Err(format!("{name}: {recorded:?} was recorded, ours is {ours:?}"));
            }
        }
        let waits = |value: Option<&str>| value.map(|value| value.parse().is_ok_and(is_wait));
        let recorded = waits(headers.get("retry-after").map(String::as_str));
        let ours = waits(answer.header("retry-after"));
        if recorded != ours {
            return Err(format!("retry-after: {recorded:?} was recorded, ours is {ours:?}"));
        }
        Ok(())
    }

    pub(super) fn compare_body(
        &mut self,
        (status, body): (u16, Value),
        answer: &Answer,
    ) -> Result<(), String> {
        let ours = match &answer.bytes {
            empty if empty.is_empty() => Value::Null,
            bytes => serde_json::from_slice(bytes).map_err(|error| error.to_string())?,
        };
        let ours = without_our_own(ours, &body)?;
        if is_version(&body) && is_version(&ours) {
            // The recorded server named its own release. Ours names at least the client's version.
            return Ok(());
        }
        self.learn_from(&body, &ours);
        // As text, because the order of keys counts.
        let (body, ours) = (self.plain(body).to_string(), plain_times(ours).to_string());
        if (status, &body) != (answer.status.as_u16(), &ours) {
            let answered = answer.status.as_u16();
            return Err(format!("recorded {status} {body}\nours     {answered} {ours}"));
        }
        Ok(())
    }

    fn learn_from(&mut self, recorded: &Value, ours: &Value) {
        match (recorded, ours) {
            (Value::Object(recorded), Value::Object(ours)) => {
                for (name, recorded) in recorded {
                    if let Some(ours) = ours.get(name) {
                        self.learn_from(recorded, ours);
                    }
                }
            }
            (Value::Array(recorded), Value::Array(ours)) => {
                for (recorded, ours) in recorded.iter().zip(ours) {
                    self.learn_from(recorded, ours);
                }
            }
            (Value::String(recorded), Value::String(ours)) => {
                let is_id = is_id(recorded) && is_id(ours);
                if (is_id || is_token(recorded) && is_token(ours)) && !self.0.contains_key(recorded)
                {
                    self.learn(recorded, ours);
                }
            }
            _ => {}
        }
    }

    /// A recorded answer with our ids and without times.
    fn plain(&self, recorded: Value) -> Value {
        map_texts(plain_times(recorded), &|text| self.0.get(text).cloned().unwrap_or(text.into()))
    }
}

/// Whether this is the version of a server with major version 3.
fn is_version(answer: &Value) -> bool {
    let Some(numbers) = answer.as_str().and_then(|text| text.strip_prefix("3.")) else {
        return false;
    };
    numbers.split('.').filter(|number| number.parse::<u64>().is_ok()).count() == 2
}

/// A grant of ours without the two fields that the recorded one lacks. Ours must have them.
fn without_our_own(mut ours: Value, recorded: &Value) -> Result<Value, String> {
    if recorded.get("lease_id").is_some()
        && let Value::Object(grant) = &mut ours
    {
        let fence = grant.remove("fencing_token").ok_or("no fencing_token")?;
        let deadline = grant.remove("deadline").ok_or("no deadline")?;
        if fence.is_null() != deadline.is_null() {
            return Err(format!("fencing_token {fence}, but deadline {deadline}"));
        }
    }
    Ok(ours)
}

fn plain_times(value: Value) -> Value {
    map_texts(value, &|text| if is_time(text) { "<time>".to_owned() } else { text.to_owned() })
}

fn map_texts(value: Value, map: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(map(&text)),
        Value::Array(items) => items.into_iter().map(|item| map_texts(item, map)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, map_texts(value, map)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}

/// The ids in a text.
fn ids(text: &str) -> Vec<&str> {
    let places = (0..text.len()).filter_map(|at| text.get(at..at + 36));
    places.filter(|place| is_id(place)).collect()
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

fn is_token(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// As `2026-11-20T20:53:00.538579Z`, to the microsecond.
fn is_time(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => byte == *form,
        })
}

/// Whether a client can wait that long.
fn is_wait(seconds: f64) -> bool {
    seconds.is_finite() && seconds > 0.0
}
