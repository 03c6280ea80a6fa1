//! The body of every error of the native API, and of the refusals of the Prefect API.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A refusal, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// The sentence that clients show.
    pub detail: Cow<'static, str>,
}

impl Detail {
    /// A body with this sentence.
    #[must_use]
    pub fn new(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into() }
    }
}
