//! Numbers: counts, rates and lengths.

use std::cmp::Ordering::{Equal, Less};

use leasehold_python_json::Json;
use serde_json::{Value, json};

use super::coerce;
use crate::declaration::Rule;
use crate::schema::Schemas;
use crate::settings::Settings;
use crate::validation::{ErrorDetail, Findings};

#[derive(Clone, Copy)]
pub(crate) enum Floor<T> {
    AtLeast(T),
    Above(T),
}

impl<T: PartialOrd + Copy + std::fmt::Display> Floor<T> {
    fn holds(self, value: T) -> bool {
        match self {
            Self::AtLeast(floor) => value >= floor,
            Self::Above(floor) => value > floor,
        }
    }

    pub(super) fn explain(
        self,
        input: &Json<'_>,
        context: impl Fn(T) -> Json<'static>,
    ) -> ErrorDetail {
        match self {
            Self::AtLeast(floor) => ErrorDetail::new(
                "greater_than_equal",
                format!("Input should be greater than or equal to {floor}"),
                input,
            )
            .with("ge", context(floor)),
            Self::Above(floor) => ErrorDetail::new(
                "greater_than",
                format!("Input should be greater than {floor}"),
                input,
            )
            .with("gt", context(floor)),
        }
    }
}

pub(super) fn too_large(
    most: impl std::fmt::Display,
    context: Json<'static>,
    input: &Json<'_>,
) -> ErrorDetail {
    ErrorDetail::new(
        "less_than_equal",
        format!("Input should be less than or equal to {most}"),
        input,
    )
    .with("le", context)
}

/// What happens above the largest integer that the server stores.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Most {
    Refused,
    Clamped,
}

pub(crate) struct Integer {
    pub(super) floor: Floor<i64>,
    pub(super) most: Most,
}

impl Rule for Integer {
    type Value = u64;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<u64> {
        let value = match coerce::integer(input) {
            Ok(value) => value,
            Err(fault) => return findings.refuse(fault.at(input)),
        };
        if self.most == Most::Refused && value > i128::from(i64::MAX) {
            return findings.refuse(too_large(i64::MAX, Json::from(i64::MAX), input));
        }
        let value = i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX });
        if self.floor.holds(value) {
            return u64::try_from(value).ok();
        }
        findings.refuse(self.floor.explain(input, Json::from))
    }

    fn schema(&self, _: &mut Schemas<'_>) -> Value {
        let mut schema = json!({"type": "integer", "format": "int64"});
        match self.floor {
            Floor::AtLeast(floor) => schema["minimum"] = floor.into(),
            Floor::Above(floor) => schema["exclusiveMinimum"] = floor.into(),
        }
        if self.most == Most::Refused {
            schema["maximum"] = i64::MAX.into();
        }
        schema
    }
}

pub(crate) struct Number {
    pub(super) floor: Option<Floor<f64>>,
    pub(super) most: Option<f64>,
}

impl Rule for Number {
    type Value = f64;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<f64> {
        let value = match coerce::number(input) {
            Ok(value) => value,
            Err(fault) => return findings.refuse(fault.at(input)),
        };
        if let Some(most) = self.most
            && !matches!(value.partial_cmp(&most), Some(Less | Equal))
        {
            return findings.refuse(too_large(most, Json::Float(most), input));
        }
        if let Some(floor) = self.floor
            && !floor.holds(value)
        {
            return findings.refuse(floor.explain(input, Json::Float));
        }
        if value.is_finite() {
            return Some(value);
        }
        findings.refuse(coerce::FINITE_NUMBER.at(input))
    }

    fn schema(&self, _: &mut Schemas<'_>) -> Value {
        let mut schema = json!({"type": "number"});
        match self.floor {
            Some(Floor::AtLeast(floor)) => schema["minimum"] = floor.into(),
            Some(Floor::Above(floor)) => schema["exclusiveMinimum"] = floor.into(),
            None => {}
        }
        if let Some(most) = self.most {
            schema["maximum"] = most.into();
        }
        schema
    }
}

/// The length of a lease, within what the operator allows.
pub(crate) struct LeaseSeconds;

impl LeaseSeconds {
    fn within(settings: &Settings) -> Number {
        Number {
            floor: Some(Floor::AtLeast(settings.lease_seconds_min)),
            most: Some(settings.lease_seconds_max),
        }
    }
}

impl Rule for LeaseSeconds {
    type Value = f64;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<f64> {
        Self::within(findings.settings).read(input, findings)
    }

    fn schema(&self, schemas: &mut Schemas<'_>) -> Value {
        Self::within(schemas.settings).schema(schemas)
    }
}

/// A number of results, up to the page size. For more, the recorded server answers one sentence and
/// omits what else is wrong.
pub(crate) struct PageSize;

impl Rule for PageSize {
    type Value = u64;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<u64> {
        let most = findings.settings.page_size;
        match coerce::integer(input) {
            Err(fault) => findings.refuse(fault.at(input)),
            Ok(..0) => findings
                .refuse_instead("Invalid limit: must be greater than or equal to 0.".to_owned()),
            Ok(value) if value > i128::from(most) => findings
                .refuse_instead(format!("Invalid limit: must be less than or equal to {most}.")),
            Ok(value) => u64::try_from(value).ok(),
        }
    }

    fn schema(&self, schemas: &mut Schemas<'_>) -> Value {
        json!({"type": "integer", "minimum": 0, "maximum": schemas.settings.page_size})
    }
}
