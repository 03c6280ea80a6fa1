//! Parameters in a path: ids, and names where either may stand. Percent-decoding was done before.

use uuid::Uuid;

use crate::Settings;
use crate::json::Json;
use crate::rule::{ID, Rule};
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

/// Which limit a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdOrName {
    /// The limit with this id.
    Id(Uuid),
    /// The limit with this name.
    Name(String),
}

impl IdOrName {
    /// Whatever has the 32 digits of a UUID means an id, as it does for Python's `uuid.UUID`,
    /// which ignores dashes wherever they are, braces and `urn:uuid:`. A limit with such a name
    /// can only be reached by its id.
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

/// An id where only the digits of a UUID, with or without its four dashes, make the path exist
/// at all: `/concurrency_limits/{id}`. Anything else is an unknown path, not a bad id.
#[must_use]
pub fn tag_limit_id(text: &str) -> Option<Uuid> {
    let plain = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    // Each dash may be missing, so that `simple` and `hyphenated` are not the only two forms.
    let mut rest = text;
    for length in [8, 4, 4, 4, 12] {
        let group = rest.get(..length)?;
        if group.contains('-') {
            return None;
        }
        rest = &rest[length..];
        rest = rest.strip_prefix('-').filter(|after| !after.is_empty()).unwrap_or(rest);
    }
    let digits = text.replace('-', "");
    (plain && rest.is_empty()).then(|| Uuid::try_parse(&digits).ok())?
}
