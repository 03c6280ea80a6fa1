//! The search for words in an event: `error -debug +"connection timeout"`.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

const CHARS_MAX: usize = 200;

/// The terms of a search, in lower case.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query {
    /// The event has at least one of these.
    include: Vec<String>,
    /// The event has none of these: `-word`, `!word`.
    exclude: Vec<String>,
    /// The event has all of these: `+word`.
    require: Vec<String>,
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.chars().count() > CHARS_MAX {
            return Err(serde::de::Error::custom("a query of more than 200 characters"));
        }
        Ok(Self::parse(&text))
    }
}

impl Query {
    fn parse(text: &str) -> Self {
        let mut query = Self::default();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let prefix = Some(first).filter(|first| matches!(first, '-' | '!' | '+'));
            let after = &rest[prefix.map_or(0, char::len_utf8)..];
            let (term, behind) = match after.strip_prefix('"') {
                Some(phrase) => quoted(phrase),
                None => {
                    let end = after.find(|it: char| it.is_whitespace() || it == '"');
                    let (term, behind) = after.split_at(end.unwrap_or(after.len()));
                    (term.to_owned(), behind)
                }
            };
            // A prefix without a term means nothing.
            if !term.trim().is_empty() {
                let terms = match prefix {
                    Some('+') => &mut query.require,
                    Some(_) => &mut query.exclude,
                    None => &mut query.include,
                };
                terms.push(term.to_lowercase());
            }
            rest = behind.trim_start();
        }
        query
    }

    /// Whether the query matches an event's kind, the labels of its resources and its payload.
    pub(super) fn finds(&self, event: &Value) -> bool {
        let text = searched(event).to_lowercase();
        let is_there = |term: &String| text.contains(term.as_str());
        (self.include.is_empty() || self.include.iter().any(is_there))
            && !self.exclude.iter().any(is_there)
            && self.require.iter().all(is_there)
    }
}

/// A phrase up to its closing quote, and the text behind it. `\"` and `\\` are escapes.
fn quoted(text: &str) -> (String, &str) {
    let mut phrase = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (phrase, &text[at + 1..]),
            '\\' => {
                let escaped = chars.next_if(|(_, next)| matches!(next, '"' | '\\'));
                phrase.push(escaped.map_or('\\', |(_, escaped)| escaped));
            }
            other => phrase.push(other),
        }
    }
    (phrase, "")
}

fn searched(event: &Value) -> String {
    let mut text = String::new();
    let mut add = |part: &str| {
        text.push_str(part);
        text.push(' ');
    };
    add(event.get("event").and_then(Value::as_str).unwrap_or_default());
    let related = event.get("related").and_then(Value::as_array);
    let resources = event.get("resource").into_iter().chain(related.into_iter().flatten());
    for resource in resources.filter_map(Value::as_object) {
        resource.values().filter_map(Value::as_str).for_each(&mut add);
    }
    add(&event.get("payload").map(Value::to_string).unwrap_or_default());
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(query: &str, finds: bool) {
        let event = json!({
            "event": "leasehold.lease.granted",
            "resource": {"prefect.resource.id": "leasehold.lease.1", "name": "Nightly load"},
            "related": [{"prefect.resource.id": "prefect.task-run.2"}],
            "payload": {"reason": "it said \"enough\""},
        });
        assert_eq!(Query::parse(query).finds(&event), finds, "{query}");
    }

    #[test]
    fn one_matching_word_is_enough() {
        check("", true);
        check("  ", true);
        check("GRANTED", true);
        check("released granted", true);
        check("released", false);
        check("task-run.2", true);
        check("prefect.resource.id", false);
    }

    #[test]
    fn words_may_be_excluded_or_required() {
        check("granted -nightly", false);
        check("granted !nightly", false);
        check("granted -weekly", true);
        check("-weekly", true);
        check("+granted +nightly", true);
        check("+granted +weekly", false);
        check("- + ! granted", true);
    }

    #[test]
    fn a_phrase_is_found_in_one_piece() {
        check(r#""nightly load""#, true);
        check(r#""load nightly""#, false);
        check(r#"-"nightly load""#, false);
        check(r#""nightly load"#, true);
        assert_eq!(Query::parse(r#""a \"b\" \\ \c""#).include, [r#"a "b" \ \c"#]);
        assert_eq!(Query::parse(r#"one"two" "" +"#).include, ["one", "two"]);
    }
}
