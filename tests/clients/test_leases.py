"""Leases: renewed while their holder lives, back by themselves when it does not."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from conftest import MakeUser, StartServer
from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, HAS_LEASES, PrefectUser, some_id
from waiting import wait_until

LEASE_SECONDS = 2.0
BACK_WITHIN_SECONDS = 0.2

needs_leases = pytest.mark.skipif(
    not HAS_LEASES, reason="this version of the client takes slots without a lease"
)


def deadline(server: LeaseholdServer, name: str) -> float:
    """The deadline of the one lease on a limit, in Unix seconds."""
    (lease,) = server.leases(name)
    return datetime.fromisoformat(lease["deadline"]).timestamp()


@needs_leases
def test_a_lease_is_renewed_past_its_length_while_its_holder_lives(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database", "--lease-duration", LEASE_SECONDS)
    holder.wait_for("acquired")
    first = deadline(server, "database")
    wait_until(
        lambda: deadline(server, "database") > first + 2 * LEASE_SECONDS,
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
    due = deadline(server, "database")
    acquire = {"names": ["database"], "slots": 1}

    def acquired_at() -> float | None:
        response = server.request("POST", "/v2/concurrency_limits/increment", acquire)
        return time.time() if response.status_code == 200 else None

    at = wait_until(acquired_at, "somebody else gets the slot", within_seconds=10)
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
    """Some versions renew it, and would warn if the server knew nothing of it (C10)."""
    output = user.run(
        "hold.py",
        flavour,
        "nobody",
        *("--lease-duration", 1, "--hold-seconds", 2),
        clean=False,
    )
    assert output.splitlines()[-1] == "released"
    assert "renewal failed" not in output


@needs_leases
def test_the_answer_tells_more_than_the_client_asks(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    """The context managers read the same answer, so that they ignore the rest."""
    server.create_limit("database", 2)
    with user.session(flavour) as client:
        tokens = []
        for _ in range(2):
            response = client.increment_concurrency_slots_with_lease(
                names=["database"], slots=1, mode="concurrency", lease_duration=60
            )
            tokens.append(response["body"]["fencing_token"])
            lease_ends = datetime.fromisoformat(response["body"]["deadline"])
            seconds_left = (lease_ends - datetime.now(timezone.utc)).total_seconds()
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
        lambda: "Execution will continue" in holder.output,
        "the holder is warned",
        within_seconds=20,
    )
    assert holder.is_running()
    holder.let_go()
    output = holder.finish(clean=False)
    assert "Concurrency lease renewal failed - slots are no longer reserved." in output
    if CLIENT_VERSION >= (3, 8):  # older ones do not say what the server answered
        assert "410" in output and "nightly-maintenance" in output


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
        lambda: "Terminating execution to prevent over-allocation." in holder.output,
        "the holder is told to end",
        within_seconds=20,
    )
    wait_until(lambda: not holder.is_running(), "the block has ended")
    assert server.active_slots("database") == 0


def revoke_lease(server: LeaseholdServer, name: str, reason: str) -> None:
    (lease,) = server.leases(name)
    response = server.request("DELETE", f"/leases/{lease['id']}", params={"reason": reason})
    assert response.is_success, response.text


@pytest.mark.restarts
@needs_leases
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_d01_a_held_lease_survives_a_restart_of_the_server(
    server: LeaseholdServer, user: PrefectUser, flavour: str, how: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database", "--strict", "--lease-duration", 60)
    holder.wait_for("acquired")
    (before,) = server.leases("database")
    getattr(server, how)()
    server.start()
    (after,) = server.leases("database")
    assert after["id"] == before["id"]
    assert after["fencing_token"] == before["fencing_token"]
    assert datetime.fromisoformat(after["deadline"]) >= datetime.fromisoformat(before["deadline"])
    assert server.active_slots("database") == 1
    user.run("hold.py", flavour, "database", "--max-retries", 0, exit_code=3)
    holder.let_go()
    holder.finish()
    assert server.active_slots("database") == 0


@pytest.mark.restarts
@needs_leases
def test_a_lease_is_renewed_on_the_server_that_was_restarted(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    lease_seconds = 8
    holder = user.start("hold.py", flavour, "database", "--lease-duration", lease_seconds)
    holder.wait_for("acquired")
    server.kill()
    server.start()
    restarted = deadline(server, "database")
    wait_until(
        lambda: deadline(server, "database") > restarted,
        "the holder renewed its lease",
        within_seconds=lease_seconds,
    )
    holder.let_go()
    holder.finish()
    assert server.active_slots("database") == 0


@pytest.mark.restarts
def test_slots_without_a_lease_survive_a_restart_of_the_server(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_limit("database", 3)
    with user.session("sync") as client:
        client.increment_concurrency_slots(names=["database"], slots=2, mode="concurrency")
        server.stop()
        server.start()
        assert server.active_slots("database") == 2
        client.release_concurrency_slots(names=["database"], slots=2, occupancy_seconds=1.0)
    assert server.active_slots("database") == 0


@pytest.mark.restarts
def test_the_server_stops_in_time_while_clients_are_connected(
    start_server: StartServer, make_user: MakeUser, flavour: str
) -> None:
    server = start_server()
    server.create_limit("database", 1)
    holder = make_user(server).start("hold.py", flavour, "database")
    holder.wait_for("acquired")
    server.stop()  # asserts success within 5 s
    assert "panic" not in server.log()
    holder.kill()
