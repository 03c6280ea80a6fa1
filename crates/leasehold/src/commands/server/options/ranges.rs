//! Options that bound each other.

use leasehold_server::Config;

use super::declared::{LEASE_SECONDS_LEAST, YEAR_SECONDS};
use super::sources::{OptionsError, Source, Sources};

/// The three lengths of leases bound each other. An error blames the one that was set, and not the
/// one that it does not go with.
pub(super) fn check_leases(sources: &Sources, server: &Config) -> Result<(), OptionsError> {
    let bound = |option: &str, value: f64| match sources.of(option) {
        Source::Default(_) => value.to_string(),
        source => format!("{value} ({source})"),
    };
    let leases = &server.bodies;
    let (min, max) = (leases.lease_seconds_min, leases.lease_seconds_max);
    let shown_min = bound("lease-seconds-min", min);
    let shown_max = bound("lease-seconds-max", max);
    let out_of_range = |option: &str, value: f64, from: &str, to: &str| OptionsError::OutOfRange {
        source_of: sources.of(option),
        value: value.to_string(),
        expected: format!("from {from} to {to}"),
    };
    if min > max && matches!(sources.of("lease-seconds-max"), Source::Default(_)) {
        let least = LEASE_SECONDS_LEAST.to_string();
        return Err(out_of_range("lease-seconds-min", min, &least, &shown_max));
    }
    if min > max {
        let most = YEAR_SECONDS.to_string();
        return Err(out_of_range("lease-seconds-max", max, &shown_min, &most));
    }
    if !(min..=max).contains(&leases.lease_seconds_default) {
        let value = leases.lease_seconds_default;
        return Err(out_of_range("lease-seconds-default", value, &shown_min, &shown_max));
    }
    Ok(())
}
