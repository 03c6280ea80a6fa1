//! Ids of leases. An id that begins with "lease", as far as hexadecimal digits allow, shows by its
//! form what it stands for: an empty lease, or an idempotency key.

use leasehold_engine::{LeaseId, RequestDigest};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::ids;

/// A UUID of version 8, the one for private use, that begins with "lease" and ends at random.
const EMPTY: u128 = 0x1ea5_e000_0000_8000_8000_0000_0000_0000;
const EMPTY_MASK: u128 = 0xffff_ffff_ffff_ffff_c000_0000_0000_0000;

/// Such a UUID too. Its other digits are a digest of the key.
const KEYED: u128 = 0x1ea5_e100_0000_8000_8000_0000_0000_0000;
const KEYED_MASK: u128 = 0xffff_ff00_0000_f000_c000_0000_0000_0000;

/// The id of a new lease.
pub(crate) fn new() -> LeaseId {
    LeaseId(ids::random().as_u128())
}

/// The id of the lease that an idempotency key stands for.
pub(crate) fn of_key(key: &str) -> LeaseId {
    LeaseId(KEYED | (digest(&[b"lease of a key", key.as_bytes()]) & !KEYED_MASK))
}

/// The digest of a request, which tells it from other requests with the same key. It must stay the
/// same in all versions of this program.
pub(crate) fn request_digest(request: &[u8]) -> RequestDigest {
    RequestDigest(digest(&[b"request", request]))
}

/// The id of a lease that holds nothing and is stored nowhere (contract C10). Older clients renew
/// and release the lease that they were given, even if no limit has the requested name. With a key,
/// the id is the same each time.
pub(crate) fn empty(key: Option<&str>) -> Uuid {
    let end = match key {
        Some(key) => digest(&[b"empty lease of a key", key.as_bytes()]),
        None => ids::random().as_u128(),
    };
    Uuid::from_u128(EMPTY | (end & !EMPTY_MASK))
}

/// Whether a lease holds nothing and is stored nowhere. Such a lease can always be renewed.
pub(crate) fn is_empty(id: Uuid) -> bool {
    id.as_u128() & EMPTY_MASK == EMPTY
}

/// Whether the form of an id says that this program made it.
pub(crate) fn is_ours(id: Uuid) -> bool {
    is_empty(id) || id.as_u128() & KEYED_MASK == KEYED
}

fn digest(parts: &[&[u8]]) -> u128 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let bytes: [u8; 32] = hasher.finalize().into();
    bytes.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_lease_has_the_id_of_one() {
        let id = empty(None);
        assert_ne!(id, empty(None));
        assert_eq!(empty(Some("key")), empty(Some("key")));
        assert_eq!(id.get_version_num(), 8);
        assert!(is_empty(id) && is_empty(empty(Some("key"))));
        for other in [new(), of_key("key"), of_key("")] {
            assert!(!is_empty(Uuid::from_u128(other.0)));
        }
        assert!(is_ours(id) && is_ours(Uuid::from_u128(of_key("key").0)));
        assert!(!is_ours(Uuid::from_u128(new().0)));
    }

    /// A later version of this program must find what a journal stores.
    #[test]
    fn a_key_and_a_request_have_the_same_digests_for_ever() {
        let id = Uuid::from_u128(of_key("nightly-2026-11-20").0);
        assert_eq!(id.to_string(), "1ea5e104-34f1-801a-b7eb-201204f4dc2f");
        assert_eq!(id.get_version_num(), 8);
        assert_ne!(of_key("a"), of_key("b"));
        assert_eq!(format!("{:032x}", request_digest(b"{}").0), "1774e037df21e866a41cff2a824c314a");
    }
}
