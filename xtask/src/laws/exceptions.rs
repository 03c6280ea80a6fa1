//! What breaks a law and may, with the reason. An exception that nothing needs is removed.

use super::Breach;

/// A law, where it does not hold (paths that begin so), and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("floors", "crates/leasehold-server/", "to be changed"),
    ("wire", "crates/leasehold-server/", "to be changed"),
];

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
