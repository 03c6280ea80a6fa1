"""Leases: clients renew them while they live, and the server ends them when they do not."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, HAS_LEASES, PrefectUser, needs_leases, some_id
from waiting import wait_until

LEASE_SECONDS = 6.0
LIVING_LEASE_SECONDS = 12.0
"""Its client renews three seconds before the deadline, which a loaded machine may need."""
BACK_WITHIN_SECONDS = 15.0


@needs_leases
def test_a_lease_is_renewed_past_its_length_while_its_holder_lives(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database", "--lease-duration", LIVING_LEASE_SECONDS)
    holder.wait_for("acquired")
    first = server.deadline("database")
    wait_until(
        lambda: server.deadline("database") > first + LIVING_LEASE_SECONDS,
        "the lease was renewed twice",
    )
    assert server.active_slots("database") == 1
    holder.let_go()
    holder.finish()
    assert server.active_slots("database") == 0


@needs_leases
def test_the_slot_of_a_killed_holder_is_back_at_its_deadline(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database", "--lease-duration", LEASE_SECONDS)
    holder.wait_for("acquired")
    holder.kill()
    due = server.deadline("database")
    acquire = {"names": ["database"], "slots": 1}

    def acquired_at() -> float | None:
        response = server.request("POST", "/v2/concurrency_limits/increment", acquire)
        return time.time() if response.status_code == 200 else None

    at = wait_until(acquired_at, "somebody else gets the slot")
    assert due <= at <= due + BACK_WITHIN_SECONDS, f"{at - due:.3f} s after the deadline"


@needs_leases
def test_a_waiting_client_gets_the_slot_of_a_killed_holder(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database", "--lease-duration", LEASE_SECONDS)
    holder.wait_for("acquired")
    waiter = user.start("hold.py", flavour, "database", "--strict")
    holder.kill()
    waiter.wait_for("acquired")
    waiter.let_go()
    waiter.finish()
    assert server.active_slots("database") == 0


@pytest.mark.skipif(HAS_LEASES, reason="this version of the client has leases")
def test_the_slot_of_a_killed_holder_without_a_lease_is_freed_by_an_operator(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database")
    holder.wait_for("acquired")
    holder.kill()
    assert server.active_slots("database") == 1
    user.prefect("gcl", "update", "database", "--active-slots", "0")
    user.run("hold.py", flavour, "database", "--strict", "--max-retries", 0)


@needs_leases
def test_a_lease_on_nothing_is_never_said_to_be_lost(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    """Some versions renew the lease, and would warn if the server refused that (C10)."""
    program = user.run(
        "hold.py",
        flavour,
        "nobody",
        *("--lease-duration", 1, "--hold-seconds", 2),
        clean=False,
    )
    assert program.output.splitlines() == ["acquired", "released"]
    assert "renewal failed" not in program.log


@needs_leases
def test_the_answer_tells_more_than_the_client_asks(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    """The context managers read the same answer, so they ignore the other fields."""
    server.create_limit("database", 2)
    with user.session(flavour) as client:
        tokens = []
        for _ in range(2):
            response = client.increment_concurrency_slots_with_lease(
                names=["database"], slots=1, mode="concurrency", lease_duration=60
            )
            tokens.append(response["body"]["fencing_token"])
            lease_ends = datetime.fromisoformat(response["body"]["deadline"])
            seconds_left = (lease_ends - datetime.now(UTC)).total_seconds()
            assert 55 < seconds_left <= 60
    assert tokens[0] < tokens[1]


@needs_leases
@pytest.mark.skipif(CLIENT_VERSION < (3, 8), reason="this version of the client names no holder")
def test_a_lease_names_its_holder(server: LeaseholdServer, user: PrefectUser) -> None:
    server.create_limit("database", 2)
    holder = {"type": "task_run", "id": some_id()}
    with user.session("sync") as client:
        granted = client.increment_concurrency_slots_with_lease(
            names=["database"], slots=2, mode="concurrency", lease_duration=60, holder=holder
        )["body"]
    (lease,) = server.leases("database")
    assert lease["id"] == granted["lease_id"]
    assert lease["slots"] == 2
    assert lease["holder"] == holder
    assert lease["fencing_token"] == granted["fencing_token"]
    assert lease["deadline"] == granted["deadline"]
    assert lease["created"] < lease["deadline"]


@needs_leases
def test_a_holder_that_is_not_strict_is_warned_when_an_operator_revokes_its_lease(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database", "--lease-duration", LEASE_SECONDS)
    holder.wait_for("acquired")
    revoke_lease(server, "database", "nightly-maintenance")
    assert server.active_slots("database") == 0
    wait_until(
        lambda: "Execution will continue" in holder.log,
        "the holder is warned",
    )
    assert holder.is_running()
    holder.let_go()
    holder.finish(clean=False)
    assert "Concurrency lease renewal failed - slots are no longer reserved." in holder.log
    if CLIENT_VERSION >= (3, 8):  # older ones do not log the server's answer
        assert "410" in holder.log and "nightly-maintenance" in holder.log


@needs_leases
def test_the_block_of_a_strict_holder_ends_when_an_operator_revokes_its_lease(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start(
        "hold.py", flavour, "database", "--strict", "--lease-duration", LEASE_SECONDS
    )
    holder.wait_for("acquired")
    revoke_lease(server, "database", "nightly-maintenance")
    wait_until(
        lambda: "Terminating execution to prevent over-allocation." in holder.log,
        "the holder is told to end",
    )
    wait_until(lambda: not holder.is_running(), "the block has ended")
    assert server.active_slots("database") == 0


def revoke_lease(server: LeaseholdServer, name: str, reason: str) -> None:
    (lease,) = server.leases(name)
    response = server.request("DELETE", f"/leases/{lease['id']}", {"reason": reason})
    assert response.is_success, response.text
