//! Leases for holders that Prefect lists without one, and ids that are derived.

use leasehold_engine::{Span, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::prefect::{Holder, Lease};

/// How long Prefect's leases live unless they are renewed, if nobody says otherwise.
pub(crate) const USUAL_TTL: Span = Span::from_seconds(300);

/// A slot of a tag that a task run holds. Its id is always the same, so that it is carried once.
pub(crate) fn holder_lease(
    limit: Uuid,
    task_run: Uuid,
    created: Timestamp,
    deadline: Option<Timestamp>,
) -> Lease {
    Lease {
        id: derived(
            "a tag that a task run holds at Prefect",
            &[limit.as_bytes(), task_run.as_bytes()],
        ),
        limits: vec![limit],
        slots: 1,
        holder: Some(Holder::task_run(task_run)),
        created,
        deadline,
    }
}

/// The id of a further part of a lease that Prefect cannot hold as one.
pub(crate) fn part_id(lease: Uuid, number: usize) -> Uuid {
    derived("a part of a lease", &[lease.as_bytes(), &number.to_be_bytes()])
}

/// An id that is always the same for the same parts.
fn derived(what: &str, parts: &[&[u8]]) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(format!("leasehold: {what}"));
    parts.iter().for_each(|part| digest.update(part));
    let mut id = [0; 16];
    id.copy_from_slice(&digest.finalize()[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid()
}
