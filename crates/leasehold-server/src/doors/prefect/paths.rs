//! Which paths the recorded server knows.

use super::{events, runs, tags};

/// Whether there is a WebSocket at a path.
pub(crate) fn is_socket(path: &str) -> bool {
    events::SOCKETS.contains(&path)
}

/// Whether the recorded server has a route for a path that matches one of ours. That server decodes
/// a path before it looks for the route, so an encoded slash separates two segments. Its segments
/// are never empty. Its routes demand UUIDs as the ids of tag limits and of runs.
pub(crate) fn is_known(path: &str) -> bool {
    let has_encoded_slash = || ["%2F", "%2f"].iter().any(|slash| path.contains(slash));
    if path.as_bytes().windows(2).any(|pair| pair == b"//")
        || (path.contains('%') && (has_encoded_slash() || !is_text(path)))
    {
        return false;
    }
    let by_id = [(tags::BASE, tags::NAMED)].into_iter().chain(runs::BY_ID);
    for (base, named) in by_id {
        let Some(rest) = path.strip_prefix(base).filter(|rest| rest.starts_with('/')) else {
            continue;
        };
        let rest = rest.trim_matches('/');
        let is_id = || leasehold_prefect::path::route_id(rest).is_some();
        return rest.is_empty() || rest.contains('/') || named.contains(&rest) || is_id();
    }
    true
}

/// Whether a path's percent-encoded bytes are UTF-8. Other paths name nothing.
fn is_text(path: &str) -> bool {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let encoded = if byte == b'%' { after.get(..2) } else { None };
        let digits = encoded.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}
