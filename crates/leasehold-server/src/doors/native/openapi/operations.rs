//! What can be asked for, operation by operation, in the order in which a person would read it.

use leasehold_api::Settings;
use leasehold_api::schema::reference;
use serde_json::{Value, json};

use super::operation::{Operation, delete, get, patch, post};
use super::{lease_operations, run_operations};

const LIMITS: &str = "Limits";
const LEASES: &str = "Leases";
const NATIVE: &str = "Leases for any client";
const SLOTS: &str = "Slots without a lease";
const TAG_LIMITS: &str = "Tag limits";
const RUNS: &str = "Runs";
const EVENTS: &str = "Events";
const SERVER: &str = "Server";

pub(super) const TAGS: &[(&str, &str)] = &[
    (LIMITS, "How many slots there are, by name."),
    (LEASES, "Slots that are held until a deadline, and come back by themselves."),
    (NATIVE, "The same leases without Prefect: of any length, with waiting and idempotency."),
    (SLOTS, "Slots that somebody takes and must give back. Prefer leases."),
    (TAG_LIMITS, "Limits on task runs with a tag: the limits named `tag:<tag>`."),
    (RUNS, "What clients record of their flows and tasks. Nothing is scheduled here."),
    (EVENTS, "What happened, and the WebSockets that clients of Prefect open."),
    (SERVER, "The server itself."),
];

pub(super) fn all(settings: &Settings) -> impl Iterator<Item = Operation> {
    let tagged = |tag, operations: Vec<Operation>| {
        operations.into_iter().map(move |operation| operation.tag(tag))
    };
    tagged(LIMITS, limits())
        .chain(tagged(LEASES, leases()))
        .chain(tagged(NATIVE, lease_operations::leases()))
        .chain(tagged(SLOTS, slots()))
        .chain(tagged(TAG_LIMITS, tag_limits()))
        .chain(tagged(RUNS, run_operations::runs()))
        .chain(tagged(EVENTS, events(settings)))
        .chain(tagged(SERVER, server()))
}

const NO_LIMIT: &str = "There is no such limit.";
const AMBIGUOUS: &str =
    "One limit has this id and another one this name; it says how to name each.";
const FULL: &str = "Another limit, or one of them, has too few slots free at the moment.";
const NEVER: &str = "Invalid; or more slots than a limit has; or `rate_limit` on a limit without \
                     decay.";

fn limits() -> Vec<Operation> {
    vec![
        post("/api/v2/concurrency_limits/", "create_limit", "Create a limit")
            .body("CreateLimit")
            .answers(201, one("CreatedLimit"), "The new limit.")
            .refuses(409, "Another limit has this name.")
            .ledger(),
        post("/api/v2/concurrency_limits/filter", "list_limits", "List limits")
            .about("Ordered by name. The limits of tags are among them.")
            .optional_body("Filter")
            .answers(200, list("Limit"), "A page of limits.")
            .refuses(422, "Invalid, or a page that is too large.")
            .ledger(),
        get("/api/v2/concurrency_limits/{id_or_name}", "read_limit", "Read a limit")
            .answers(200, one("Limit"), "The limit.")
            .refuses(404, NO_LIMIT)
            .refuses(409, AMBIGUOUS)
            .ledger(),
        patch("/api/v2/concurrency_limits/{id_or_name}", "update_limit", "Change a limit")
            .about(
                "`active_slots` alone in the body resets the limit: leases are revoked, oldest \
                 first, until so many slots are taken, and their holders are told. Beside other \
                 fields it only frees slots that no lease holds, until so many are taken at \
                 most: it never takes a slot, however old the number is, and leases stay.",
            )
            .body("UpdateLimit")
            .done(204, "Changed.")
            .refuses(404, NO_LIMIT)
            .refuses(
                409,
                "Another limit has this name, or a field is `null`; or one limit has this id and \
                 another one this name.",
            )
            .ledger(),
        delete("/api/v2/concurrency_limits/{id_or_name}", "delete_limit", "Delete a limit")
            .about("Leases lose their slots on it, and keep what they hold on other limits.")
            .done(204, "Deleted.")
            .refuses(404, NO_LIMIT)
            .refuses(409, AMBIGUOUS)
            .ledger(),
    ]
}

/// A list that belongs to a limit, page by page.
fn listing(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let count = json!({"type": "integer", "minimum": 0});
    let offset = json!({"type": "integer", "minimum": 0, "default": 0});
    get(path, id, summary)
        .query("limit", "The most to list; a page when it is not given.", count, false)
        .query("offset", "How many to skip.", offset, false)
        .refuses(404, NO_LIMIT)
        .refuses(409, AMBIGUOUS)
        .ledger()
}

fn leases() -> Vec<Operation> {
    vec![
        post("/api/v2/concurrency_limits/increment-with-lease", "acquire", "Acquire a lease")
            .about(
                "Takes slots on every limit that is named, or on none. Names without a limit are \
                 skipped. Give `fencing_token` to the resource that you protect: it can refuse \
                 holders that outlived their lease.",
            )
            .body("IncrementWithLease")
            .answers(200, one("Acquired"), "The slots are held until `deadline`.")
            .refuses(422, NEVER)
            .refuses(423, FULL)
            .ledger(),
        post("/api/v2/concurrency_limits/leases/{lease_id}/renew", "renew", "Renew a lease")
            .about("Renew well before the deadline, for example after half of the time.")
            .optional_body("RenewLease")
            .done(204, "The lease lasts from now for `lease_duration` seconds.")
            .refuses(410, "The lease has ended: stop what it protects.")
            .ledger(),
        post("/api/v2/concurrency_limits/decrement-with-lease", "release", "Release a lease")
            .about("Releasing a lease twice, or late, frees its slots once.")
            .body("ReleaseLease")
            .done(204, "The lease holds nothing, now or already.")
            .ledger(),
        listing(
            "/api/v2/concurrency_limits/{id_or_name}/leases",
            "list_leases",
            "List who holds a limit",
        )
        .about(
            "Leases, oldest first, and after the last of them the slots that no lease holds: their \
             `id` is `null`, and `without_lease` says by what they were taken and how to free them.",
        )
        .answers(200, list("LimitLease"), "A page of leases.")
        .invalid(),
        listing(
            "/api/v2/concurrency_limits/{id_or_name}/waiters",
            "list_waiters",
            "List who waits for a limit",
        )
        .about("In the order in which they are to be granted.")
        .answers(200, list("Waiter"), "A page of requests that wait.")
        .invalid(),
    ]
}

fn slots() -> Vec<Operation> {
    vec![
        post("/api/v2/concurrency_limits/increment", "increment", "Take slots")
            .about("On every limit that is named, or on none. Nobody renews them.")
            .body("Increment")
            .answers(200, list("MinimalLimit"), "The limits that were found.")
            .refuses(422, NEVER)
            .refuses(423, FULL)
            .ledger(),
        post("/api/v2/concurrency_limits/decrement", "decrement", "Give slots back")
            .about("What is held on a lease stays held.")
            .body("Decrement")
            .answers(200, list("MinimalLimit"), "The limits that were found.")
            .ledger(),
    ]
}

fn tag_limits() -> Vec<Operation> {
    vec![
        post("/api/concurrency_limits/", "put_tag_limit", "Create or change a tag's limit")
            .body("CreateTagLimit")
            .answers(200, tag_limit(), "The tag had a limit, which is changed.")
            .answers(201, tag_limit(), "The new limit.")
            .ledger(),
        post("/api/concurrency_limits/filter", "list_tag_limits", "List the limits of tags")
            .optional_body("Filter")
            .answers(200, json!({"type": "array", "items": tag_limit()}), "A page of limits.")
            .refuses(422, "Invalid, or a page that is too large.")
            .ledger(),
        get("/api/concurrency_limits/{id}", "read_tag_limit", "Read a tag's limit by its id")
            .answers(200, tag_limit(), "The limit.")
            .refuses(404, NO_LIMIT)
            .ledger(),
        delete(
            "/api/concurrency_limits/{id}",
            "delete_tag_limit",
            "Delete a tag's limit by its id",
        )
        .answers(200, nothing(), "Deleted.")
        .refuses(404, NO_LIMIT)
        .ledger(),
        get("/api/concurrency_limits/tag/{tag}", "read_tag", "Read a tag's limit")
            .answers(200, tag_limit(), "The limit.")
            .refuses(404, NO_LIMIT)
            .ledger(),
        delete("/api/concurrency_limits/tag/{tag}", "delete_tag", "Delete a tag's limit")
            .answers(200, nothing(), "Deleted.")
            .refuses(404, NO_LIMIT)
            .ledger(),
        post("/api/concurrency_limits/tag/{tag}/reset", "reset_tag", "Reset a tag's holders")
            .optional_body("ResetTag")
            .answers(200, nothing(), "The task runs that were given are its only holders.")
            .refuses(404, NO_LIMIT)
            .ledger(),
        post("/api/concurrency_limits/increment", "tag_increment", "Take a slot of each tag")
            .about("For a task run, and without a deadline. Twice for the same run is one slot.")
            .body("TagIncrement")
            .answers(200, list("MinimalLimit"), "The tags that have a limit.")
            .refuses(423, "A tag has no slot free; without `Retry-After` it has none at all.")
            .ledger(),
        post("/api/concurrency_limits/decrement", "tag_decrement", "Give a slot of each tag back")
            .body("TagDecrement")
            .answers(200, list("MinimalLimit"), "The tags that have a limit.")
            .ledger(),
    ]
}

fn events(settings: &Settings) -> Vec<Operation> {
    const NO_PROTOCOL: &str = "Authentication is wanted, and the client does not offer the \
                               subprotocol `prefect`, with which it could.";
    let socket = |path, id, summary| {
        get(path, id, summary)
            .about("The token is in the first message: `{\"type\": \"auth\", \"token\": …}`.")
            .open()
            .done(101, "The connection is a WebSocket.")
            .done(403, NO_PROTOCOL)
            .refuses(426, "The request has not the headers of a WebSocket.")
    };
    vec![
        run_operations::event_log(settings),
        socket("/api/events/in", "send_events", "Send events"),
        socket("/api/events/out", "receive_events", "Receive events").about(
            "The token is in the first message, as for `/api/events/in`; the next is \
             `{\"type\": \"filter\", \"filter\": {…}}` with any part of the clients' `EventFilter`. \
             What happened in the last quarter of an hour is told first, unless it says \
             `\"backfill\": false`.",
        ),
        socket("/api/logs/out", "receive_logs", "Receive logs"),
    ]
}

fn server() -> Vec<Operation> {
    let text = || json!({"type": "string"});
    let client = "A name that the client gives itself.";
    vec![
        get("/api/health", "health", "Whether the server runs").open().answers(
            200,
            json!({"const": true}),
            "It does.",
        ),
        get("/api/ready", "ready", "Whether the server is ready").open().answers(
            200,
            json!({"const": {"message": "OK"}}),
            "It is.",
        ),
        get("/api/version", "version", "The version of the API").any_version().answers(
            200,
            text(),
            "Such as `0.8.4`.",
        ),
        get("/api/admin/version", "server_version", "The version for clients of Prefect")
            .about("At least that of the client, so that it does not warn.")
            .answers(200, text(), "Such as `3.9.1`: no client of version 3 is newer."),
        get("/api/admin/storage", "storage", "Settings of storage, of which there are none")
            .answers(
                200,
                json!({"const": {"default_result_storage_block_id": null}}),
                "Nothing is set.",
            ),
        get("/api/hello", "hello", "Wave").answers(200, json!({"const": "👋"}), "A wave."),
        get("/api/csrf-token", "csrf_token", "Get a token for writes")
            .about("Valid for an hour. A new one makes the client's old one void.")
            .query("client", client, text(), true)
            .answers(200, csrf_token(), "The token.")
            .refuses(422, "Invalid; or nobody needs a token here."),
        get(super::PATH, "openapi", "This description").answers(
            200,
            json!({"type": "object"}),
            "An OpenAPI 3.1 document.",
        ),
    ]
}

fn csrf_token() -> Value {
    let id = json!({"type": "string", "format": "uuid"});
    let time = json!({"type": "string", "format": "date-time"});
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {
            "id": id, "created": time, "updated": time, "token": text, "client": text,
            "expiration": time,
        },
        "required": ["id", "created", "updated", "token", "client", "expiration"],
    })
}

pub(super) fn one(schema: &str) -> Value {
    reference(schema)
}

pub(super) fn list(schema: &str) -> Value {
    json!({"type": "array", "items": reference(schema)})
}

/// With the slots that no lease holds, if there are any.
fn tag_limit() -> Value {
    json!({"anyOf": [reference("TagLimit"), reference("TagLimitWithSlots")]})
}

fn nothing() -> Value {
    json!({"type": "null"})
}
