//! The groups of operations: OpenAPI's tags.

pub(super) const LIMITS: &str = "Limits";
pub(super) const LEASES: &str = "Leases";
pub(super) const NATIVE: &str = "Leases for any client";
pub(super) const SLOTS: &str = "Slots without a lease";
pub(super) const TAG_LIMITS: &str = "Tag limits";
pub(super) const RUNS: &str = "Runs";
pub(super) const EVENTS: &str = "Events";
pub(super) const MIGRATION: &str = "Migration";
pub(super) const SERVER: &str = "Server";

/// All groups with their descriptions, in the order of the document.
pub(super) const ALL: &[(&str, &str)] = &[
    (LIMITS, "How many slots there are, by name."),
    (LEASES, "Slots that are held until a deadline, and come back by themselves."),
    (NATIVE, "The same leases without Prefect: of any length, with waiting and idempotency."),
    (SLOTS, "Slots that a client takes and must give back. Prefer leases."),
    (TAG_LIMITS, "Limits on task runs with a tag: the limits named `tag:<tag>`."),
    (RUNS, "What clients record of their flows and tasks. Nothing is scheduled here."),
    (EVENTS, "What happened, and the WebSockets that clients of Prefect open."),
    (
        MIGRATION,
        "Limits of a Prefect server behind this one, taken over one by one, and given back.",
    ),
    (SERVER, "The server itself."),
];

pub(super) const NO_LIMIT: &str = "There is no such limit.";
pub(super) const AMBIGUOUS: &str =
    "One limit has this id and another one this name; the answer says how to name each.";
