//! Parameters in a path: an id, or an id or a name. The caller has percent-decoded them.

use leasehold_python_json::Json;
use uuid::Uuid;

use crate::declaration::Rule;
use crate::rule::ID;
use crate::settings::Settings;
use crate::validation::{Findings, Invalid};

/// Reads an id in the path of a request without a body, with the same leniency as one in a body:
/// upper case, without dashes, in braces, after `urn:uuid:`.
///
/// # Errors
/// A 422 whose place is `["path", name]`.
pub fn id(name: &'static str, text: &str) -> Result<Uuid, Invalid> {
    let settings = Settings::default();
    let mut findings = Findings::new(&settings);
    match read_id(name, text, &mut findings) {
        Some(id) => Ok(id),
        None => Err(findings.into_invalid(Json::Null)),
    }
}

pub(crate) fn read_id(name: &'static str, text: &str, findings: &mut Findings<'_>) -> Option<Uuid> {
    findings.within("path", |findings| {
        findings.within(name, |findings| ID.read(&Json::from(text), findings))
    })
}

/// The limit that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdOrName {
    /// The limit with this id.
    Id(Uuid),
    /// The limit with this name.
    Name(String),
}

impl IdOrName {
    /// A text with the 32 digits of a UUID is an id. Dashes, braces and `urn:uuid:` do not count,
    /// as for Python's `uuid.UUID`. Such a text may also be the name of a limit.
    #[must_use]
    pub fn from_path(text: &str) -> Self {
        let bare = text.replace("urn:", "").replace("uuid:", "");
        let digits = bare.trim_matches(['{', '}']).replace('-', "");
        match Uuid::try_parse(&digits) {
            Ok(id) if digits.len() == 32 => Self::Id(id),
            _ => Self::Name(text.into()),
        }
    }
}

/// An id in a path that exists only for the digits of a UUID, with or without its four dashes:
/// `/concurrency_limits/{id}`, `/flow_runs/{id}`. Any other text is an unknown path, not a bad id.
#[must_use]
pub fn route_id(text: &str) -> Option<Uuid> {
    let mut rest = text;
    for length in [8, 4, 4, 4, 12] {
        let (group, after) = rest.split_at_checked(length)?;
        if !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        rest = after.strip_prefix('-').unwrap_or(after);
    }
    let whole = rest.is_empty() && !text.ends_with('-');
    whole.then(|| Uuid::try_parse(&text.replace('-', "")).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "e132a953-0824-4c81-b5d7-61c3ef6c3bb0";
    const DIGITS: &str = "e132a95308244c81b5d761c3ef6c3bb0";

    #[test]
    fn bad_id_is_reported_in_the_path() {
        let invalid = id("lease_id", "nope").unwrap_err();
        assert_eq!(
            serde_json::to_string(&invalid).unwrap(),
            r#"{"exception_message":"Invalid request received.","exception_detail":[{"type":"uuid_parsing","loc":["path","lease_id"],"msg":"Input should be a valid UUID, invalid character: found `n` at 0","input":"nope","ctx":{"error":"invalid character: found `n` at 0"}}],"request_body":null}"#
        );
    }

    #[test]
    fn a_text_with_the_digits_of_an_id_is_an_id() {
        let expected = IdOrName::Id(Uuid::parse_str(ID).unwrap());
        let braced = format!("{{{ID}}}");
        let urn = format!("urn:uuid:{ID}");
        let upper = ID.to_uppercase();
        let dashed = "e1-32a95308244c81b5d761c3ef6c3bb0-";
        for text in [ID, DIGITS, &braced, &urn, &upper, dashed] {
            assert_eq!(IdOrName::from_path(text), expected, "{text}");
        }
        for text in ["", "tag:db", &ID[1..], "e132a953 0824", "{}"] {
            assert_eq!(IdOrName::from_path(text), IdOrName::Name(text.into()));
        }
    }

    #[test]
    fn tag_limit_path_exists_for_digits_and_their_own_dashes_only() {
        let upper = ID.to_uppercase();
        for text in [ID, DIGITS, &upper, "e132a95308244c81-b5d761c3ef6c3bb0"] {
            assert_eq!(route_id(text), Uuid::parse_str(ID).ok(), "{text}");
        }
        let braced = format!("{{{ID}}}");
        let long = format!("{ID}0");
        let dash = format!("{ID}-");
        for text in
            ["nope", "", &ID[1..], &braced, &long, &dash, "é", "e1-32a95308244c81b5d761c3ef6c3bb0"]
        {
            assert_eq!(route_id(text), None, "{text}");
        }
    }
}
