//! File descriptors: each connection needs one, and so do the server's own files.

use leasehold_server::config::CONNECTIONS_MAX;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the files of the journal and of the records, the log and the runtime need, with room.
const RESERVE: u64 = 64;

/// Lets this process open as many files as it is allowed to. Answers how many these are.
pub(super) fn raise() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        // Some platforms name a hard limit that they do not grant.
        Err(_) => soft,
    }
}

/// How many connections can be served with so many descriptors. Where there are hardly any, half
/// of them are the server's own.
pub(super) fn connections_max(descriptors: u64) -> usize {
    let connections = descriptors - RESERVE.min(descriptors / 2);
    usize::try_from(connections).unwrap_or(CONNECTIONS_MAX).min(CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_the_files_of_the_server() {
        for (descriptors, connections) in
            [(80, 40), (1_024, 960), (1_048_576, CONNECTIONS_MAX), (u64::MAX, CONNECTIONS_MAX)]
        {
            assert_eq!(connections_max(descriptors), connections, "of {descriptors}");
        }
    }
}
