"""The event log: events of limits and leases, and events that clients send."""

from __future__ import annotations

import json

import httpx
import pytest

from conftest import MakeUser, StartServer
from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, HAS_LEASES, PrefectUser, Program, some_id
from waiting import wait_until

needs_events = pytest.mark.skipif(CLIENT_VERSION < (3,), reason="this version sends no events")

IS_SUBSCRIBER_MATURE = CLIENT_VERSION >= (3, 8)
"""Older ones search for no words, and give up when the server refuses a connection."""


def events(server: LeaseholdServer, **wanted: object) -> list[dict]:
    response = server.request("GET", "/leasehold/events", params=wanted)
    assert response.is_success, response.text
    return response.json()["events"]


def kinds(server: LeaseholdServer, **wanted: object) -> list[str]:
    return [event["kind"] for event in events(server, **wanted)]


@needs_events
def test_who_held_a_limit_and_when_it_came_back(server: LeaseholdServer, user: PrefectUser) -> None:
    server.create_tag_limit("database", 1)
    user.run("runs.py", "tagged", clean=False, within_seconds=90)
    life = ["lease.granted", "lease.released"]
    wait_until(
        lambda: kinds(server, limit="tag:database", kind="lease") == life * 3,
        "each task's lease is in the log",
    )
    granted, released, *_ = events(server, limit="tag:database", kind="lease")
    assert granted["lease"] == released["lease"]
    assert granted["holder"] == released["holder"]
    holder = granted["holder"]["id"]
    wait_until(
        lambda: "prefect.task-run.Completed" in kinds(server, holder=holder),
        "what the client said of its task run is in the log",
    )
    assert kinds(server, limit="tag:database", kind="limit") == ["limit.created"]
    assert kinds(server, limit="another") == []


def test_a_page_says_where_the_next_begins(server: LeaseholdServer) -> None:
    for number in range(5):
        server.create_limit(f"limit-{number}", 1)
    wait_until(lambda: len(events(server, kind="limit")) == 5, "all are in the log")
    limits = {"kind": "limit"}
    pages = {**limits, "page_size": 3}
    first = server.request("GET", "/leasehold/events", params=pages).json()
    behind = {**limits, "after": first["next"]}
    rest = server.request("GET", "/leasehold/events", params=behind).json()
    names = [event["limit"] for event in first["events"] + rest["events"]]
    assert names == [f"limit-{number}" for number in range(5)]
    assert rest["next"] is None


def test_new_events_are_streamed(server: LeaseholdServer) -> None:
    server.create_limit("before", 1)
    wait_until(lambda: len(events(server, kind="limit")) == 1, "it is in the log")
    url = f"{server.api_url}/leasehold/events"
    accept = {"Accept": "text/event-stream"}
    with httpx.stream("GET", url, headers=accept, params={"kind": "limit"}, timeout=60) as stream:
        server.create_limit("after", 1)
        data = next(line for line in stream.iter_lines() if line.startswith("data:"))
    assert json.loads(data.removeprefix("data:"))["limit"] == "after"


def subscribe(user: PrefectUser, *filters: dict) -> Program:
    subscriber = user.start("subscribe.py", *map(json.dumps, filters))

    def is_subscribed() -> bool:
        assert subscriber.is_running(), "it ended without a subscription"
        return len(subscriber.lines("subscribed")) == len(filters)

    wait_until(is_subscribed, "all filters are subscribed")
    return subscriber


def wait_for_told(subscriber: Program, *expected: str) -> None:
    """Waits until the subscriber has received exactly these events, in any order of its filters."""
    wait_until(
        lambda: sorted(subscriber.lines("event")) == sorted(expected),
        f"the subscriber is told {expected}",
    )


@needs_events
def test_the_client_s_subscriber_is_told_what_it_asks_for(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    task_run = some_id()
    holder = f"prefect.task-run.{task_run}"
    named = {"prefect.resource.name": ["tag:data*"]}
    lease = {"prefix": ["leasehold.lease."]}
    words = {"text": {"query": f"+{task_run} -created"}}
    subscriber = subscribe(
        user,
        {"event": lease},
        {"event": {"name": ["leasehold.limit.created"], "exclude_prefix": ["prefect."]}},
        {"related": {"id": [holder], "role": ["task-run"]}, "event": lease},
        {"any_resource": {"id_prefix": ["prefect.task-run."]}, "event": lease},
        {"resource": {"labels": named}, "event": {"exclude_name": ["leasehold.lease.granted"]}},
        {"resource": {"id_prefix": ["leasehold.nothing."]}},
        {"event": lease, **(words if IS_SUBSCRIBER_MATURE else {})},
    )
    server.create_tag_limit("database", 1)
    body = {"names": ["database"], "task_run_id": task_run}
    assert server.request("POST", "/concurrency_limits/increment", body).is_success
    granted = "leasehold.lease.granted tag:database"
    created = "leasehold.limit.created tag:database"
    wait_for_told(
        subscriber,
        *[f"{number} {granted}" for number in (0, 2, 3, 6)],
        *[f"{number} {created}" for number in (1, 4)],
        # A Prefect server sends this event, too.
        "4 prefect.concurrency-limit.created tag:database",
    )


@pytest.mark.skipif(
    not IS_SUBSCRIBER_MATURE, reason="this version gives up when it is refused a connection"
)
@pytest.mark.restarts
def test_the_client_s_subscriber_misses_nothing_while_the_server_restarts(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_limit("before", 1)
    wait_until(lambda: len(events(server, kind="limit")) == 1, "it is in the log")
    (event,) = events(server, kind="limit")
    subscriber = subscribe(
        user, {"event": {"prefix": ["leasehold.limit."]}}, {"id": {"id": [event["id"]]}}
    )
    created = "leasehold.limit.created"
    before = [f"0 {created} before", f"1 {created} before"]
    wait_for_told(subscriber, *before)
    # A killed process closes its connections before it stops accepting new ones. This client gives
    # up if the server accepts its connection and then closes it. So the client stays suspended
    # until the server is gone.
    with subscriber.paused():
        server.kill()
    server.start()
    server.create_limit("meanwhile", 1)
    wait_for_told(subscriber, *before, f"0 {created} meanwhile")


@needs_events
def test_who_waits_for_a_slot_is_told_and_how_it_ended(
    start_server: StartServer, make_user: MakeUser
) -> None:
    # So long that the server refuses no waiter before all programs have started: a return would be
    # another event.
    server = start_server("--park-seconds", "50")
    user = make_user(server)
    server.create_limit("database", 1)
    holder = user.start("hold.py", "sync", "database")
    holder.wait_for("acquired")
    waits = user.start("hold.py", "sync", "database")
    hangs_up = user.start("hold.py", "sync", "database")
    wait_until(
        lambda: kinds(server, limit="database", kind="waiter") == ["waiter.queued"] * 2,
        "both wait in line",
    )
    hangs_up.kill()
    wait_until(
        lambda: kinds(server, limit="database", kind="waiter.left") == ["waiter.left"],
        "one has left",
    )
    (left,) = events(server, limit="database", kind="waiter.left")
    assert left["reason"] == "its client hung up"
    holder.let_go()
    waits.wait_for("acquired")
    waits.let_go()
    waits.finish()
    # A wait for slots without a lease ends without an event of a lease.
    told = 3 if HAS_LEASES else 4
    wait_until(
        lambda: len(kinds(server, limit="database", kind="waiter")) == told,
        "the other has left as well",
    )


@pytest.mark.restarts
def test_the_log_survives_a_restart(server: LeaseholdServer) -> None:
    server.create_limit("database", 1)
    server.stop()
    server.start()
    server.create_limit("another", 1)
    wait_until(
        lambda: (
            [event["limit"] for event in events(server, kind="limit")] == ["database", "another"]
        ),
        "both are in the log",
    )
