//! Texts: their length and their characters.

use leasehold_python_json::{Json, Text as JsonText};
use serde_json::{Value, json};

use crate::declaration::Rule;
use crate::schema::Schemas;
use crate::validation::{ErrorDetail, Fault, Findings};

const STRING_UNICODE: Fault = Fault(
    "string_unicode",
    "Input should be a valid string, unable to parse raw data as a unicode string",
);
const STRING_TYPE: Fault = Fault("string_type", "Input should be a valid string");

/// How many characters the name of a limit may have.
const NAME_CHARACTERS_MAX: usize = 1_000;
/// The name of its limit begins with `tag:`.
const TAG_CHARACTERS_MAX: usize = NAME_CHARACTERS_MAX - 4;

const NAME_PATTERN: &str = "^[^/%&><]+$";
const TAG_PATTERN: &str = "^[^/%&><]*$";

#[derive(Clone, Copy)]
pub(super) enum Shape {
    Any,
    Name,
    Tag,
    /// A name to look for. It may hold any character.
    Named,
    AtMost(usize),
    Between(usize, usize),
}

pub(crate) struct Text {
    pub(super) shape: Shape,
}

impl Shape {
    fn most(self) -> Option<usize> {
        match self {
            Self::Any => None,
            Self::Name | Self::Named => Some(NAME_CHARACTERS_MAX),
            Self::Tag => Some(TAG_CHARACTERS_MAX),
            Self::AtMost(most) | Self::Between(_, most) => Some(most),
        }
    }

    fn least(self) -> usize {
        if let Self::Between(least, _) = self { least } else { 0 }
    }

    fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Name => Some(NAME_PATTERN),
            Self::Tag => Some(TAG_PATTERN),
            Self::Any | Self::Named | Self::AtMost(_) | Self::Between(..) => None,
        }
    }

    /// Whether the text is kept and shown. It may then hold no control characters, because a
    /// terminal would obey them.
    fn is_shown(self) -> bool {
        !matches!(self, Self::Any | Self::Named)
    }
}

impl Text {
    fn explain(&self, text: &str, input: &Json<'_>) -> Option<ErrorDetail> {
        let forbidden = || text.contains(['/', '%', '&', '>', '<']);
        let is_empty_name = text.is_empty() && matches!(self.shape, Shape::Name);
        if self.shape.pattern().is_some() && (is_empty_name || forbidden()) {
            // The limit's name must match, `tag:` included.
            let msg = format!("String should match pattern '{NAME_PATTERN}'");
            let detail = ErrorDetail::new("string_pattern_mismatch", msg, input);
            return Some(detail.with("pattern", NAME_PATTERN));
        }
        // First by bytes, because that is quick: a text never has fewer bytes than characters.
        if let Some(most) = self.shape.most()
            && text.len() > most
            && text.chars().count() > most
        {
            let msg = format!("String should have at most {most} characters");
            let most = Json::Integer(most.to_string().into());
            let detail = ErrorDetail::new("string_too_long", msg, input);
            return Some(detail.with("max_length", most));
        }
        let least = self.shape.least();
        if text.chars().take(least).count() < least {
            let characters = if least == 1 { "character" } else { "characters" };
            let msg = format!("String should have at least {least} {characters}");
            let least = Json::Integer(least.to_string().into());
            let detail = ErrorDetail::new("string_too_short", msg, input);
            return Some(detail.with("min_length", least));
        }
        let is_control = |character: char| character.is_control() && character != '\n';
        if self.shape.is_shown() && text.contains(is_control) {
            let msg = "String should have no control characters other than line breaks";
            return Some(ErrorDetail::new("string_control_characters", msg, input));
        }
        None
    }
}

impl Rule for Text {
    type Value = String;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<String> {
        let text = match input {
            Json::Text(JsonText::Whole(text)) => text,
            Json::Text(JsonText::Torn(_)) => {
                return findings.refuse(STRING_UNICODE.at(input));
            }
            _ => {
                return findings.refuse(STRING_TYPE.at(input));
            }
        };
        match self.explain(text, input) {
            Some(detail) => findings.refuse(detail),
            None => Some(text.clone().into_owned()),
        }
    }

    fn schema(&self, _: &mut Schemas<'_>) -> Value {
        let mut schema = json!({"type": "string"});
        if let Some(pattern) = self.shape.pattern() {
            schema["pattern"] = pattern.into();
        }
        if self.shape.least() > 0 {
            schema["minLength"] = self.shape.least().into();
        }
        if let Some(most) = self.shape.most() {
            schema["maxLength"] = most.into();
        }
        schema
    }
}
