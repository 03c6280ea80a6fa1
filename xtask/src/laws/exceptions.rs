//! What breaks a law and may, with the reason. An exception that nothing needs is removed.

use super::Breach;

/// A law, where it does not hold (paths that begin so), and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("wire", "crates/leasehold-server/src/doors/native/leases", HANDLERS),
    ("wire", "crates/leasehold-server/src/doors/prefect/limit_holders.rs", HANDLERS),
    ("wire", "crates/leasehold-server/src/doors/prefect/limit_ref.rs", HANDLERS),
    ("wire", "crates/leasehold-server/src/doors/prefect/limits.rs", HANDLERS),
    ("wire", "crates/leasehold-server/src/doors/prefect/runs/task_runs.rs", HANDLERS),
    ("wire", "crates/leasehold-server/src/doors/prefect/tags.rs", HANDLERS),
];

const HANDLERS: &str = "handlers pass a body to `convert`, send the command, and match the outcome";

/// Removes the breaches that are excepted. Answers the exceptions that excepted none.
pub(super) fn take_out(breaches: &mut Vec<Breach>) -> Vec<(&'static str, &'static str)> {
    let excepts = |(law, within, _): &(&str, &str, &str), breach: &Breach| {
        *law == breach.law && breach.place.starts_with(within)
    };
    let unused = EXCEPTIONS
        .iter()
        .filter(|exception| !breaches.iter().any(|breach| excepts(exception, breach)))
        .map(|(law, within, _)| (*law, *within))
        .collect();
    breaches.retain(|breach| !EXCEPTIONS.iter().any(|exception| excepts(exception, breach)));
    unused
}
