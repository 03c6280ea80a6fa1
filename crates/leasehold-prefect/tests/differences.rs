//! Answers that differ from those of the recorded server: on purpose, or because that one fails
//! with
//! 500. And bodies that no recording has: costly ones, and some that are no text.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod read;

use leasehold_api::leases::RevokeLease;
use leasehold_prefect::limits::{CreateLimit, Increment, RenewLease, UpdateLimit};
use leasehold_prefect::system::CsrfTokenFor;
use leasehold_prefect::{Body, Invalid, Settings};
use serde_json::{Value, json};

use read::{Endpoint, read};

const JSON: Option<&str> = Some("application/json");

const ALL: [Endpoint; 12] = [
    Endpoint::Create,
    Endpoint::Update,
    Endpoint::Filter,
    Endpoint::Increment,
    Endpoint::IncrementWithLease,
    Endpoint::Decrement,
    Endpoint::Release,
    Endpoint::Renew,
    Endpoint::CreateTag,
    Endpoint::IncrementTag,
    Endpoint::DecrementTag,
    Endpoint::ResetTag,
];

/// The details of a refusal without their sentences: `[type, loc, input, ctx]`.
fn refused(endpoint: Endpoint, body: &str) -> Value {
    let invalid = read(endpoint, None, JSON, body.as_bytes()).unwrap_err();
    assert_eq!(invalid.status(), 422);
    let answer = serde_json::to_value(&invalid).unwrap();
    let details = answer["exception_detail"].as_array().unwrap();
    (details.iter())
        .map(|detail| json!([detail["type"], detail["loc"], detail["input"], detail["ctx"]]))
        .collect()
}

fn answer(invalid: &Invalid) -> String {
    serde_json::to_string(invalid).unwrap()
}

#[test]
fn c4_negative_tag_limit_is_refused() {
    assert_eq!(
        refused(Endpoint::CreateTag, r#"{"tag": "x", "concurrency_limit": -3}"#),
        json!([["greater_than_equal", ["body", "concurrency_limit"], -3, {"ge": 0}]])
    );
}

#[test]
fn c4_tag_that_makes_no_name_is_refused_but_an_empty_one_is_not() {
    assert_eq!(
        refused(Endpoint::CreateTag, r#"{"tag": "a/b", "concurrency_limit": 1}"#),
        json!([["string_pattern_mismatch", ["body", "tag"], "a/b", {"pattern": "^[^/%&><]+$"}]])
    );
    let empty = br#"{"tag": "", "concurrency_limit": 1}"#;
    assert!(read(Endpoint::CreateTag, None, JSON, empty).is_ok());
}

#[test]
fn c4_counts_from_2_to_the_63_are_refused() {
    let too_large = |name: &str| {
        json!([["less_than_equal", ["body", name], 9_223_372_036_854_775_808_u64,
            {"le": 9_223_372_036_854_775_807_i64}]])
    };
    for name in ["limit", "active_slots", "denied_slots"] {
        let body = format!(r#"{{"{name}": 9223372036854775808}}"#);
        assert_eq!(refused(Endpoint::Update, &body), too_large(name));
        let body = format!(r#"{{"{name}": 9223372036854775807}}"#);
        assert!(read(Endpoint::Update, None, JSON, body.as_bytes()).is_ok());
    }
    assert_eq!(
        refused(Endpoint::CreateTag, r#"{"tag": "x", "concurrency_limit": 9223372036854775808}"#),
        too_large("concurrency_limit")
    );
    assert_eq!(
        refused(Endpoint::Filter, r#"{"offset": 9223372036854775808}"#),
        too_large("offset")
    );
}

#[test]
fn more_slots_than_any_limit_has_are_read_as_that_many() {
    let body = format!(r#"{{"names": ["db"], "slots": {}}}"#, "9".repeat(40));
    let body = Increment::from_bytes(JSON, body.as_bytes(), &Settings::default()).unwrap();
    assert_eq!(body.slots, 9_223_372_036_854_775_807);
}

#[test]
fn huge_integers_are_echoed_digit_by_digit() {
    let digits = "123456789012345678901234567890";
    let body = format!(r#"{{"name":"x","limit":{digits},"b":2.0,"a":-0}}"#);
    let invalid = CreateLimit::from_bytes(JSON, body.as_bytes(), &Settings::default()).unwrap_err();
    let echo = format!(r#""request_body":{{"name":"x","limit":{digits},"b":2.0,"a":0}}}}"#);
    assert!(answer(&invalid).ends_with(&echo), "{}", answer(&invalid));
}

#[test]
fn numbers_that_json_cannot_write_are_refused_where_they_matter() {
    for sent in ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"] {
        let limit = format!(r#"{{"limit": {sent}}}"#);
        let expected = json!([["finite_number", ["body", "limit"], null, null]]);
        assert_eq!(refused(Endpoint::Update, &limit), expected);
        let decay = format!(r#"{{"slot_decay_per_second": {sent}}}"#);
        assert_eq!(refused(Endpoint::Update, &decay)[0][2], Value::Null);
        let renew = format!(r#"{{"lease_duration": {sent}}}"#);
        assert_eq!(refused(Endpoint::Renew, &renew)[0][2], Value::Null);
    }
    for sent in ["inf", "+Infinity", "1e400"] {
        let decay = format!(r#"{{"slot_decay_per_second": "{sent}"}}"#);
        let expected = json!([["finite_number", ["body", "slot_decay_per_second"], sent, null]]);
        assert_eq!(refused(Endpoint::Update, &decay), expected);
    }
}

#[test]
fn half_a_surrogate_pair_is_no_text() {
    assert_eq!(
        refused(Endpoint::Update, r#"{"name": "a\ud800b"}"#),
        json!([["string_unicode", ["body", "name"], "a\u{fffd}b", null]])
    );
}

#[test]
fn json_that_is_no_text_is_refused_by_every_endpoint() {
    for endpoint in ALL {
        for bytes in [&b"\xff"[..], b"{\"a\": \"\xff\"}", b"{}\xfe", b"\"\xed\xa0\x80\""] {
            for content_type in [None, JSON] {
                let invalid = read(endpoint, None, content_type, bytes).unwrap_err();
                assert_eq!(answer(&invalid), r#"{"detail":"There was an error parsing the body"}"#);
                assert_eq!(invalid.status(), 400);
            }
        }
    }
}

#[test]
fn plain_bytes_are_echoed_as_text() {
    let invalid = read(Endpoint::Create, None, Some("text/plain"), b"a\xff").unwrap_err();
    let echo = "\"request_body\":\"a\u{fffd}\"}";
    assert!(answer(&invalid).ends_with(echo), "{}", answer(&invalid));
    assert!(read(Endpoint::Filter, None, Some("text/plain"), b"a\xff").is_ok());
}

#[test]
fn deep_nesting_is_refused_before_it_fills_the_stack() {
    // Threads of a server have 2 MiB.
    let server = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
        for depth in [100, 101, 100_000] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let body = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                let invalid = read(Endpoint::Create, None, JSON, body.as_bytes()).unwrap_err();
                assert_eq!(invalid.status(), if depth > 100 { 400 } else { 422 });
                assert!(!answer(&invalid).is_empty());
            }
        }
    });
    server.unwrap().join().unwrap();
}

#[test]
fn integers_beyond_4300_digits_are_refused() {
    let body = |digits| format!(r#"{{"unknown": {}}}"#, "9".repeat(digits));
    assert!(read(Endpoint::Filter, None, JSON, body(4300).as_bytes()).is_ok());
    let invalid = read(Endpoint::Filter, None, JSON, body(4301).as_bytes()).unwrap_err();
    assert_eq!(invalid, Invalid::Unreadable);
}

#[test]
fn a_thousand_details_are_enough() {
    let fields: String = (0..100_000).map(|key| format!(r#""{key}": 1, "#)).collect();
    let body = format!(r#"{{{fields}"name": "db", "limit": 1}}"#);
    let details = refused(Endpoint::Create, &body);
    assert_eq!(details.as_array().unwrap().len(), 1000);
}

#[test]
fn many_keys_are_read_in_good_time() {
    let fields: String = (0..100_000).map(|key| format!(r#""{key}": 1, "#)).collect();
    let body = format!(r#"{{{fields}"slots": 1, "names": ["db"], "slots": 7}}"#);
    let body = Increment::from_bytes(JSON, body.as_bytes(), &Settings::default()).unwrap();
    assert_eq!(body.slots, 7);
}

#[test]
fn lease_lengths_are_what_the_operator_allows() {
    let settings =
        Settings { lease_seconds_min: 0.5, lease_seconds_default: 5.0, ..Settings::default() };
    let renew = |body: &[u8]| RenewLease::from_bytes(JSON, body, &settings);
    assert_eq!(renew(b"").unwrap().lease_duration, 5.0);
    assert_eq!(renew(br#"{"lease_duration": 0.5}"#).unwrap().lease_duration, 0.5);
    let refused = answer(&renew(br#"{"lease_duration": 0.25}"#).unwrap_err());
    assert!(
        refused.contains("greater than or equal to 0.5\"") && refused.contains(r#"{"ge":0.5}"#)
    );
}

#[test]
fn an_update_knows_what_was_sent() {
    let update =
        |body: &str| UpdateLimit::from_bytes(JSON, body.as_bytes(), &Settings::default()).unwrap();
    assert!(update("{}").is_empty());
    assert!(!update(r#"{"limit": null}"#).is_empty());
    assert!(update(r#"{"limit": null}"#).has_null());
    assert!(!update(r#"{"limit": 1}"#).has_null());
    assert_eq!(update(r#"{"active_slots": 2}"#).reset(), Some(2));
    assert_eq!(update(r#"{"active_slots": null}"#).reset(), None);
    assert_eq!(update(r#"{"active_slots": 2, "limit": 3}"#).reset(), None);
    assert_eq!(update(r#"{"active_slots": 2, "limit": null}"#).reset(), None);
}

#[test]
fn the_reason_of_a_revocation_is_optional_and_short() {
    let settings = Settings::default();
    let read = |bytes: &[u8]| RevokeLease::from_bytes(JSON, bytes, &settings);
    for none in [&b"{}"[..], br#"{"reason": null}"#] {
        assert_eq!(read(none).unwrap().reason, None);
    }
    for wrong in [&b"null"[..], b"the database moves", br#"{"reson": "it moves"}"#] {
        assert!(read(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
    }
    let body = |length| format!(r#"{{"reason": "{}"}}"#, "é".repeat(length));
    assert!(read(body(500).as_bytes()).is_ok());
    let refused = answer(&read(body(501).as_bytes()).unwrap_err());
    assert!(refused.contains("String should have at most 500 characters"));
}

#[test]
fn a_missing_query_parameter_is_named() {
    let invalid = CsrfTokenFor::from_query(Vec::new(), &Settings::default()).unwrap_err();
    assert_eq!(
        answer(&invalid),
        r#"{"exception_message":"Invalid request received.","exception_detail":[{"type":"missing","loc":["query","client"],"msg":"Field required","input":null}],"request_body":null}"#
    );
}

/// As a server of 3.9.1 answers it.
#[test]
fn from_3_9_on_an_acquire_names_at_least_one_limit() {
    let read = |body: &str| Increment::from_bytes(JSON, body.as_bytes(), &Settings::default());
    let Err(Invalid::Fields { details, .. }) = read(r#"{"names": [], "slots": 0}"#) else {
        panic!("an acquire of nothing is accepted");
    };
    let expected = r#"[{"type":"greater_than","loc":["body","slots"],"msg":"Input should be greater than 0","input":0,"ctx":{"gt":0}},{"type":"too_short","loc":["body","names"],"msg":"List should have at least 1 item after validation, not 0","input":[],"ctx":{"field_type":"List","min_length":1,"actual_length":0}}]"#;
    assert_eq!(serde_json::to_string(&details).unwrap(), expected);
}
