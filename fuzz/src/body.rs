//! Random bodies for every reader of a request. The first byte chooses the reader, the second one
//! the Content-Type. No reader panics, and a refusal is JSON.

use leasehold_api::leases::{
    FindLeases, LeaseRenewal, LeaseRenewals, ListPage, NewHolder, NewLease, RevokeLease,
};
use leasehold_prefect::limits::{
    CreateLimit, Decrement, Filter, Increment, IncrementWithLease, ReleaseLease, RenewLease,
    UpdateLimit,
};
use leasehold_prefect::runs::{
    CreateFlow, CreateFlowRun, CreateTaskRun, FilterRuns, ListFlows, ResumeFlowRun, SetState,
    UpdateFlowRun, UpdateTaskRun,
};
use leasehold_prefect::tags::{CreateTagLimit, ResetTag, TagDecrement, TagIncrement};
use leasehold_prefect::{Body, Invalid, Settings};
use serde_json::Value;

type Reader = fn(Option<&str>, &[u8]);

const READERS: &[Reader] = &[
    read::<CreateLimit>,
    read::<UpdateLimit>,
    read::<Filter>,
    read::<Increment>,
    read::<IncrementWithLease>,
    read::<Decrement>,
    read::<ReleaseLease>,
    read::<RenewLease>,
    read::<CreateTagLimit>,
    read::<TagIncrement>,
    read::<TagDecrement>,
    read::<ResetTag>,
    read::<NewLease>,
    read::<NewHolder>,
    read::<LeaseRenewal>,
    read::<LeaseRenewals>,
    read::<RevokeLease>,
    read::<CreateFlow>,
    read::<CreateFlowRun>,
    read::<UpdateFlowRun>,
    read::<CreateTaskRun>,
    read::<UpdateTaskRun>,
    read::<SetState>,
    read::<ResumeFlowRun>,
    read::<FilterRuns>,
    read::<ListFlows>,
    read_query::<ListPage>,
    read_query::<FindLeases>,
];

const CONTENT_TYPES: &[Option<&str>] = &[
    Some("application/json"),
    None,
    Some("application/vnd.api+json; charset=utf-8"),
    Some("text/plain"),
];

/// How many readers there are to choose from.
pub(crate) const READERS_COUNT: u8 = READERS.len() as u8;

/// Gives one input to the reader that it chooses.
///
/// # Panics
///
/// If the reader does, or if it refuses what it must not refuse.
pub fn run(data: &[u8]) {
    let [reader, content_type, bytes @ ..] = data else { return };
    let content_type = CONTENT_TYPES[usize::from(*content_type) % CONTENT_TYPES.len()];
    READERS[usize::from(*reader) % READERS.len()](content_type, bytes);
}

fn read<T: Body>(content_type: Option<&str>, bytes: &[u8]) {
    let settings = Settings::default();
    let refused = T::from_bytes(content_type, bytes, &settings).err();
    let refused_with_id = T::from_parts("id", "7", content_type, bytes, &settings).err();
    for invalid in [refused, refused_with_id].into_iter().flatten() {
        check(&invalid);
        // What is JSON in everybody's eyes is not called broken.
        if let Invalid::Fields { details, .. } = &invalid
            && serde_json::from_slice::<Value>(bytes).is_ok()
        {
            assert!(details.iter().all(|detail| detail.kind != "json_invalid"), "{invalid:?}");
        }
    }
}

fn read_query<T: Body>(_: Option<&str>, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name.to_owned(), value.to_owned())
    };
    let pairs = text.split('&').map(pair).collect();
    if let Err(invalid) = T::from_query(pairs, &Settings::default()) {
        check(&invalid);
    }
}

/// A refusal is a client's fault, and its answer is JSON.
fn check(invalid: &Invalid) {
    assert!((400..500).contains(&invalid.status()), "{invalid:?}");
    let answer = serde_json::to_vec(invalid).expect("a refusal can be written");
    let read: Result<&serde_json::value::RawValue, _> = serde_json::from_slice(&answer);
    assert!(read.is_ok(), "{}", String::from_utf8_lossy(&answer));
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_recorded_body_is_read_or_refused() {
        let seeds = crate::seeds::bodies();
        assert!(seeds.len() > 100, "{}", seeds.len());
        seeds.iter().for_each(|seed| super::run(seed));
    }
}
