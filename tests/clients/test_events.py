"""The log of events: what happened to limits and leases, and what clients say of their work."""

from __future__ import annotations

import json

import httpx
import pytest

from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, PrefectUser, some_id
from waiting import wait_until

needs_events = pytest.mark.skipif(CLIENT_VERSION < (3,), reason="this version sends no events")


def events(server: LeaseholdServer, **wanted: object) -> list[dict]:
    response = server.request("GET", "/leasehold/events", params=wanted)
    assert response.is_success, response.text
    return response.json()["events"]


def kinds(server: LeaseholdServer, **wanted: object) -> list[str]:
    return [event["kind"] for event in events(server, **wanted)]


@needs_events
def test_who_held_a_limit_and_when_it_came_back(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_tag_limit("database", 1)
    user.run("runs.py", "tagged", clean=False, within_seconds=90)
    life = ["lease.granted", "lease.released"]
    wait_until(
        lambda: kinds(server, limit="tag:database", kind="lease") == life * 3,
        "each task's lease is in the log",
        within_seconds=20,
    )
    granted, released, *_ = events(server, limit="tag:database", kind="lease")
    assert granted["lease"] == released["lease"]
    assert granted["holder"] == released["holder"]
    holder = granted["holder"]["id"]
    wait_until(
        lambda: "prefect.task-run.Completed" in kinds(server, holder=holder),
        "what the client said of its task run is in the log",
        within_seconds=20,
    )
    assert kinds(server, limit="tag:database", kind="limit") == ["limit.created"]
    assert kinds(server, limit="another") == []


def test_a_page_says_where_the_next_begins(server: LeaseholdServer) -> None:
    for number in range(5):
        server.create_limit(f"limit-{number}", 1)
    wait_until(lambda: len(events(server)) == 5, "all are in the log", within_seconds=10)
    first = server.request("GET", "/leasehold/events", params={"page_size": 3}).json()
    rest = server.request("GET", "/leasehold/events", params={"after": first["next"]}).json()
    names = [event["limit"] for event in first["events"] + rest["events"]]
    assert names == [f"limit-{number}" for number in range(5)]
    assert rest["next"] is None


def test_new_events_are_streamed(server: LeaseholdServer) -> None:
    server.create_limit("before", 1)
    wait_until(lambda: len(events(server)) == 1, "it is in the log", within_seconds=10)
    url = f"{server.api_url}/leasehold/events"
    accept = {"Accept": "text/event-stream"}
    with httpx.stream("GET", url, headers=accept, params={"kind": "limit"}, timeout=20) as stream:
        server.create_limit("after", 1)
        data = next(line for line in stream.iter_lines() if line.startswith("data:"))
    assert json.loads(data.removeprefix("data:"))["limit"] == "after"


@needs_events
def test_the_client_s_subscriber_is_told(server: LeaseholdServer, user: PrefectUser) -> None:
    subscriber = user.start("subscribe.py", "leasehold.lease.")
    subscriber.wait_for("subscribed", within_seconds=60)
    server.create_tag_limit("database", 1)
    body = {"names": ["database"], "task_run_id": some_id()}
    assert server.request("POST", "/concurrency_limits/increment", body).is_success
    wait_until(
        lambda: subscriber.lines("event") == ["leasehold.lease.granted tag:database"],
        "the subscriber is told of the lease",
        within_seconds=20,
    )


@pytest.mark.restarts
def test_the_log_survives_a_restart(server: LeaseholdServer) -> None:
    server.create_limit("database", 1)
    server.stop()
    server.start()
    server.create_limit("another", 1)
    wait_until(
        lambda: [event["limit"] for event in events(server)] == ["database", "another"],
        "both are in the log",
        within_seconds=10,
    )
