//! Who holds a lease, unless the program says it: this process on this host.

use std::collections::BTreeMap;

use leasehold_api::leases::NewHolder;

/// `process` and `HOST:PID`.
pub(crate) fn this_process() -> NewHolder {
    let id = format!("{}:{}", host(), std::process::id());
    NewHolder { kind: "process".to_owned(), id, labels: BTreeMap::new() }
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".to_owned())
}
