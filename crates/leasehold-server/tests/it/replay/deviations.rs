//! The answers that differ from the recorded ones, and why. No other answer may differ.

use serde_json::{Value, json};

/// An answer that differs.
pub(super) struct Deviation {
    /// Which capture, and which line of it.
    pub(super) capture: &'static str,
    pub(super) line: usize,
    /// The number of the difference in the contract.
    pub(super) because: &'static str,
    pub(super) ours: Ours,
}

/// Our answer, with the recorded ids.
pub(super) enum Ours {
    /// This status, and this body in JSON.
    Is(u16, &'static str),
    /// The recorded list without the limit of this tag.
    WithoutTag(&'static str),
    /// The recorded limit with so many slots taken.
    Taken(u64),
}

impl Ours {
    /// The status and the body that our answer must have.
    pub(super) fn instead_of(&self, (status, mut body): (u16, Value)) -> (u16, Value) {
        match self {
            Self::Is(status, text) => return (*status, serde_json::from_str(text).unwrap()),
            Self::WithoutTag(tag) => {
                let is_other = |limit: &Value| {
                    limit["tag"] != *tag && limit["name"] != format!("tag:{tag}").as_str()
                };
                body.as_array_mut().unwrap().retain(is_other);
            }
            Self::Taken(slots) => body["active_slots"] = json!(slots),
        }
        (status, body)
    }
}

macro_rules! deviations {
    ($($capture:literal: { $($line:literal $because:literal $ours:expr;)* })*) => {
        &[$($(Deviation {
            capture: $capture,
            line: $line,
            because: $because,
            ours: $ours,
        }),*),*]
    };
}

/// By capture, in the order of the lines.
pub(super) const DEVIATIONS: &[Deviation] = deviations! {
    "validation": {
        13 "C4" Ours::Is(422, TOO_LARGE);
        33 "HEAD" Ours::Is(200, "null");
        138 "C4" Ours::Is(422, SLASH_IN_TAG_OF_1);
        145 "C4" Ours::WithoutTag("v1neg");
        148 "C4" Ours::WithoutTag("v1neg");
        149 "C4" Ours::WithoutTag("v1neg");
        166 "C8" Ours::Is(404, TAG_NOT_FOUND);
        172 "C4" Ours::WithoutTag("v1neg");
    }
    "rate_limit": {
        25 "C12" Ours::Is(200, RL);
        40 "C12" Ours::Is(200, RL);
    }
    "client_methods": {
        33 "released" Ours::Is(410, RELEASED);
        38 "C3" Ours::Is(200, DB_AND_ET);
        42 "C5" Ours::Is(200, ET);
        52 "C2" Ours::Taken(2);
        55 "C2" Ours::Taken(0);
        56 "C2" Ours::Is(200, ET);
        63 "C2" Ours::Taken(0);
    }
    "cli_gcl": {
        39 "C13" Ours::Taken(0);
    }
    "terraform_provider": {
        7 "C16" Ours::Taken(0);
    }
    "cli_concurrency_limit": {
        8 "C4" Ours::Is(422, SLASH_IN_TAG_OF_2);
        13 "C4, C17" Ours::Is(422, NEGATIVE);
        14 "C4" Ours::Is(422, NEGATIVE);
        15 "C4" Ours::Is(404, TAG_NOT_FOUND);
        17 "C4" Ours::WithoutTag("neg");
        19 "C3" Ours::Is(200, SP_ACE);
    }
    "flow_tagged_3.8.8": {
        23 "C17" Ours::Is(423, LOCKED);
        33 "C17" Ours::Is(423, LOCKED);
    }
    "flow_tagged_3.4.10": {
        13 "C17" Ours::Is(423, TAG_DB_IS_FULL);
    }
    "flow_tagged_3.1.15": {
        13 "C17" Ours::Is(200, DB);
    }
    "flow_global_3.8.8": {
        12 "C17" Ours::Is(200, LIM_A_ON_A_LEASE);
        35 "C17" Ours::Is(200, NOTHING_ON_A_LEASE);
    }
};

/// The answer to a renewal just after the release.
const RELEASED: &str =
    r#"{"detail": "Lease not found - it was released at 2026-11-20T21:00:27.062400Z"}"#;

const LOCKED: &str = r#"{"detail":"Locked"}"#;
const TAG_DB_IS_FULL: &str = r#"{"detail":"Concurrency limit for the db tag has been reached"}"#;
const TAG_NOT_FOUND: &str = r#"{"detail":"Concurrency limit not found"}"#;

const TOO_LARGE: &str = r#"{"exception_message":"Invalid request received.","exception_detail":[{
    "type":"less_than_equal","loc":["body","limit"],
    "msg":"Input should be less than or equal to 9223372036854775807",
    "input":9223372036854775808,"ctx":{"le":9223372036854775807}}],
    "request_body":{"name":"vhuge2","limit":9223372036854775808}}"#;

const SLASH_IN_TAG_OF_1: &str = r#"{"exception_message":"Invalid request received.",
    "exception_detail":[{"type":"string_pattern_mismatch","loc":["body","tag"],
    "msg":"String should match pattern '^[^/%&><]+$'","input":"a/b",
    "ctx":{"pattern":"^[^/%&><]+$"}}],"request_body":{"tag":"a/b","concurrency_limit":1}}"#;

const SLASH_IN_TAG_OF_2: &str = r#"{"exception_message":"Invalid request received.",
    "exception_detail":[{"type":"string_pattern_mismatch","loc":["body","tag"],
    "msg":"String should match pattern '^[^/%&><]+$'","input":"a/b",
    "ctx":{"pattern":"^[^/%&><]+$"}}],"request_body":{"tag":"a/b","concurrency_limit":2}}"#;

const NEGATIVE: &str = r#"{"exception_message":"Invalid request received.","exception_detail":[{
    "type":"greater_than_equal","loc":["body","concurrency_limit"],
    "msg":"Input should be greater than or equal to 0","input":-1,"ctx":{"ge":0}}],
    "request_body":{"tag":"neg","concurrency_limit":-1}}"#;

const RL: &str = r#"[{"id":"4aa47e0f-9164-408d-bcc9-19de64658c60","name":"rl","limit":2}]"#;
const ET: &str = r#"[{"id":"1a008765-748c-422a-ad90-84dce8b0173c","name":"et","limit":1}]"#;
const DB: &str = r#"[{"id":"a62570c7-29fe-4ba7-8810-e47d2330a5db","name":"db","limit":1}]"#;

const DB_AND_ET: &str = r#"[{"id":"a62570c7-29fe-4ba7-8810-e47d2330a5db",
    "created":"<time>","updated":"<time>","tag":"db","concurrency_limit":1,"active_slots":[]},
    {"id":"1a008765-748c-422a-ad90-84dce8b0173c","created":"<time>","updated":"<time>",
    "tag":"et","concurrency_limit":1,"active_slots":[]}]"#;

const SP_ACE: &str = r#"[{"id":"3cfb45be-f07c-46f9-a20b-9996bc5f702e","created":"<time>",
    "updated":"<time>","tag":"sp ace","concurrency_limit":2,"active_slots":[]}]"#;

const LIM_A_ON_A_LEASE: &str = r#"{"lease_id":"00000000-0000-0000-0000-000000000000",
    "limits":[{"id":"39a47966-7cab-4bef-b7a3-be5632fb5418","name":"lim-a","limit":2}]}"#;
const NOTHING_ON_A_LEASE: &str =
    r#"{"lease_id":"ffffffff-ffff-ffff-ffff-ffffffffffff","limits":[]}"#;
