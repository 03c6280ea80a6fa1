//! What can be asked for at the door for leases that is ours alone.

use serde_json::json;

use super::operation::{Operation, delete, get, post};
use super::operations::{list, one};

const NO_LEASE: &str = "There is no such lease; how it ended is said as long as it is known.";
const ENDED: &str = "The lease has ended, and this is how: stop what it protects.";
const UNKNOWN: &str = "The lease never was, or it ended so long ago that nobody knows.";

pub(super) fn leases() -> Vec<Operation> {
    let operations = [new_lease(), find(), read(), renew(), renew_many(), end()];
    operations.into_iter().map(Operation::ours).collect()
}

fn new_lease() -> Operation {
    post("/api/leases", "new_lease", "Acquire a lease")
        .about(
            "Takes slots on every limit that is named, or on none. With `wait_seconds` the request \
             is held open until it is granted or that time is over; who hangs up leaves the line. \
             Give `fencing_token` to the resource that you protect. If an answer gets lost, send \
             the request again with the same `idempotency_key`: it is answered the same lease.",
        )
        .body("NewLease")
        .answers(200, one("Lease"), "The lease that the same key was granted before.")
        .answers(201, one("Lease"), "The slots are held until `deadline`.")
        .refuses_with(404, "MissingLimits", "There are no such limits; with `if_missing: error`.")
        .refuses(409, "The idempotency key was used for another request.")
        .refuses_with(410, "EndedLease", "The lease that the key was granted before has ended.")
        .refuses(
            422,
            "Invalid; or more slots than a limit has; or `rate_limit` on a limit without decay.",
        )
        .refuses_with(423, "NoRoom", "There is no room, even after waiting so long.")
        .ledger()
}

fn find() -> Operation {
    let text = || json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 0});
    let offset = json!({"type": "integer", "minimum": 0, "default": 0});
    get("/api/leases", "find_leases", "List leases")
        .about("Oldest first.")
        .query("limit_name", "Those on this limit.", text(), false)
        .query("holder_kind", "Those of holders of this kind.", text(), false)
        .query("holder_id", "Those of holders with this id.", text(), false)
        .query("limit", "The most to list; a page when it is not given.", count, false)
        .query("offset", "How many to skip.", offset, false)
        .answers(200, list("Lease"), "A page of leases.")
        .refuses(404, "There is no limit with this name.")
        .invalid()
        .ledger()
}

fn read() -> Operation {
    get("/api/leases/{lease_id}", "read_lease", "Read a lease")
        .answers(200, one("Lease"), "The lease.")
        .refuses_with(404, "EndedLease", NO_LEASE)
        .invalid()
        .ledger()
}

fn renew() -> Operation {
    post("/api/leases/{lease_id}/renew", "renew_lease", "Renew a lease")
        .about("Renew well before the deadline, for example after a third of the time.")
        .body("LeaseRenewal")
        .answers(200, one("RenewedLease"), "It lasts until `deadline`.")
        .refuses_with(404, "EndedLease", UNKNOWN)
        .refuses_with(410, "EndedLease", ENDED)
        .ledger()
}

fn renew_many() -> Operation {
    post("/api/leases/renew", "renew_leases", "Renew many leases")
        .about("Those of one process, in one request.")
        .body("LeaseRenewals")
        .answers(200, one("Renewals"), "What became of each, in the order of the request.")
        .ledger()
}

fn end() -> Operation {
    delete("/api/leases/{lease_id}", "end_lease", "Give a lease back, or take it away")
        .about(
            "Without a body, its holder gives it back; again, it is answered the same. With a \
             body, an operator takes it away: its holder learns at its next renewal when, why and \
             by whom.",
        )
        .optional_body("RevokeLease")
        .answers(200, one("ReleasedLease"), "It was given back: its slots are free.")
        .done(204, "It was taken away: its slots are free.")
        .refuses_with(404, "EndedLease", "The lease is unknown; with a body, it has ended before.")
        .refuses_with(410, "EndedLease", "It had ended before in another way.")
        .ledger()
}
