//! Which numbers the options may be. An error blames the value that was set, and not the one that it
//! does not go with.

use leasehold_records::Bounds;
use leasehold_server::Config;

use super::sources::{OptionsError, Source, Sources};

const YEAR_SECONDS: f64 = 366.0 * 86_400.0;
const LEASE_SECONDS_LEAST: f64 = 0.001;

/// Refuses numbers with which no server makes sense.
pub(super) fn check(
    sources: &Sources,
    server: &Config,
    records: Bounds,
) -> Result<(), OptionsError> {
    lease_seconds(sources, server)?;
    let page_size = server.bodies.page_size;
    for (option, value, from, to) in [
        ("page-size", page_size as f64, 1.0, 10_000.0),
        ("tag-wait-seconds", server.tag_wait_seconds, 0.0, YEAR_SECONDS),
        ("wait-seconds-max", server.wait_seconds_max, 0.0, YEAR_SECONDS),
        // Clients give up a request after 60 s.
        ("park-seconds", server.park_seconds, 0.0, 55.0),
        ("heartbeat-timeout-seconds", server.heartbeat_timeout_seconds, 1.0, YEAR_SECONDS),
        ("records-max", records.runs_max as f64, 100.0, 100_000_000.0),
        ("events-max", records.events_max as f64, 100.0, 100_000_000.0),
        ("client-events-max", records.client_events_max as f64, 0.0, 100_000_000.0),
        ("events-bytes-max", records.events_bytes_max as f64, 1e6, 1e12),
        ("records-age-seconds-max", records.age_seconds_max as f64, 60.0, 100.0 * YEAR_SECONDS),
    ] {
        within(sources, option, value, &Bound::of(from), &Bound::of(to))?;
    }
    Ok(())
}

/// These three bound each other.
fn lease_seconds(sources: &Sources, server: &Config) -> Result<(), OptionsError> {
    let bodies = &server.bodies;
    let (min, max) = ("lease-seconds-min", "lease-seconds-max");
    let (least, most) = (Bound::of(LEASE_SECONDS_LEAST), Bound::of(YEAR_SECONDS));
    within(sources, min, bodies.lease_seconds_min, &least, &most)?;
    within(sources, max, bodies.lease_seconds_max, &least, &most)?;
    let lowest = Bound { value: bodies.lease_seconds_min, source: Some(sources.of(min)) };
    let highest = Bound { value: bodies.lease_seconds_max, source: Some(sources.of(max)) };
    if matches!(highest.source, Some(Source::Default(_))) {
        within(sources, min, bodies.lease_seconds_min, &least, &highest)?;
    }
    within(sources, max, bodies.lease_seconds_max, &lowest, &most)?;
    within(sources, "lease-seconds-default", bodies.lease_seconds_default, &lowest, &highest)
}

/// One end of a range, and the option that it comes from.
struct Bound {
    value: f64,
    source: Option<Source>,
}

impl Bound {
    fn of(value: f64) -> Self {
        Self { value, source: None }
    }

    fn shown(&self) -> String {
        match &self.source {
            None | Some(Source::Default(_)) => self.value.to_string(),
            Some(source) => format!("{} ({source})", self.value),
        }
    }
}

fn within(
    sources: &Sources,
    option: &'static str,
    value: f64,
    from: &Bound,
    to: &Bound,
) -> Result<(), OptionsError> {
    if (from.value..=to.value).contains(&value) {
        return Ok(());
    }
    Err(OptionsError::OutOfRange {
        source_of: sources.of(option),
        // Numbers that nobody means have hundreds of digits.
        value: if value.abs() < 1e15 { value.to_string() } else { format!("{value:e}") },
        expected: format!("from {} to {}", from.shown(), to.shown()),
    })
}
