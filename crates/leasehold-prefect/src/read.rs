//! Reads the fields of a body by its declaration, and notes faults.

use leasehold_python_json::{Json, Text};
use serde::Serialize;

use crate::declaration::{Declared, Patch, Reader, Rule, Style};
use crate::settings::Settings;
use crate::validation::{Fault, Findings, Loc, MISSING};

const EXTRA_FORBIDDEN: Fault = Fault("extra_forbidden", "Extra inputs are not permitted");
const MODEL_ATTRIBUTES_TYPE: Fault = Fault(
    "model_attributes_type",
    "Input should be a valid dictionary or object to extract fields from",
);

/// Reads a value as a declared body. `Json::Null` is no body.
pub(crate) fn read_declared<T: Declared>(
    whole: &Json<'_>,
    findings: &mut Findings<'_>,
) -> Option<T> {
    let fields = match (whole, T::STYLE) {
        (Json::Object(fields), _) => Sent::Fields(fields),
        (Json::Null, Style::Parameters) => Sent::Fields(&[]),
        (_, Style::Parameters) => Sent::Unusable,
        (Json::Null, Style::Model) => return findings.refuse(MISSING.at(&Json::Null)),
        (other, Style::Model) => {
            return findings.refuse(MODEL_ATTRIBUTES_TYPE.at(other));
        }
    };
    let mut reader = Fields { whole, sent: fields, style: T::STYLE, known: Vec::new(), findings };
    let value = T::declare(&mut reader);
    let complete = reader.refuse_unknown();
    value.filter(|_| complete)
}

/// The source of the fields.
#[derive(Clone, Copy)]
enum Sent<'a> {
    Fields(&'a [(Text<'a>, Json<'a>)]),
    /// A list, a string or a number in place of parameters: all parameters are missing, also the
    /// optional ones.
    Unusable,
}

/// Reads the fields of one body.
struct Fields<'a, 'f, 's> {
    whole: &'a Json<'a>,
    sent: Sent<'a>,
    style: Style,
    known: Vec<&'static str>,
    findings: &'f mut Findings<'s>,
}

/// A field as it was found.
enum Found<'a> {
    Absent,
    Unusable,
    Value(&'a Json<'a>),
}

impl<'a> Fields<'a, '_, '_> {
    fn find(&mut self, name: &'static str) -> Found<'a> {
        let Sent::Fields(fields) = self.sent else {
            return Found::Unusable;
        };
        let value = fields.iter().find(|(key, _)| key.as_str() == Some(name));
        match (value, self.style) {
            (Some((_, Json::Null)) | None, Style::Parameters) | (None, Style::Model) => {
                if self.style == Style::Model {
                    self.known.push(name);
                }
                Found::Absent
            }
            (Some((_, value)), Style::Parameters) => Found::Value(value),
            (Some((_, value)), Style::Model) => {
                self.known.push(name);
                Found::Value(value)
            }
        }
    }

    fn missing<T>(&mut self, name: &'static str) -> Option<T> {
        let input = match self.style {
            Style::Model => self.whole,
            Style::Parameters => &Json::Null,
        };
        (self.findings).within(name, |findings| findings.refuse(MISSING.at(input)))
    }

    fn check<R: Rule>(
        &mut self,
        name: &'static str,
        rule: &R,
        value: &Json<'_>,
    ) -> Option<R::Value> {
        (self.findings).within(name, |findings| rule.read(value, findings))
    }

    /// Notes each field that the model does not know. `true` if there is none.
    fn refuse_unknown(self) -> bool {
        let (Style::Model, Sent::Fields(fields)) = (self.style, self.sent) else {
            return true;
        };
        let mut complete = true;
        for (key, value) in fields {
            if !key.as_str().is_some_and(|key| self.known.contains(&key)) {
                complete = false;
                let step = Loc::from(key.to_lossy().into_owned());
                self.findings
                    .within(step, |findings| findings.refuse::<()>(EXTRA_FORBIDDEN.at(value)));
            }
        }
        complete
    }
}

impl Reader for Fields<'_, '_, '_> {
    fn required<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<R::Value> {
        match self.find(name) {
            Found::Absent | Found::Unusable => self.missing(name),
            Found::Value(value) => self.check(name, &rule, value),
        }
    }

    fn defaulted<R: Rule<Value: Serialize>>(
        &mut self,
        name: &'static str,
        rule: R,
        default: fn(&Settings) -> R::Value,
    ) -> Option<R::Value> {
        match self.find(name) {
            Found::Absent => Some(default(self.findings.settings)),
            Found::Unusable => self.missing(name),
            Found::Value(value) => self.check(name, &rule, value),
        }
    }

    fn optional<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<Option<R::Value>> {
        match self.find(name) {
            Found::Absent | Found::Value(Json::Null) => Some(None),
            Found::Unusable => self.missing(name),
            Found::Value(value) => self.check(name, &rule, value).map(Some),
        }
    }

    fn patched<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<Patch<R::Value>> {
        match self.find(name) {
            Found::Absent => Some(Patch::Absent),
            Found::Unusable => self.missing(name),
            Found::Value(Json::Null) => Some(Patch::Null),
            Found::Value(value) => self.check(name, &rule, value).map(Patch::Set),
        }
    }
}
