"""A restarted server: holders still hold their slots."""

from __future__ import annotations

from datetime import datetime

import pytest

from conftest import MakeUser, StartServer
from leasehold_server import LeaseholdServer
from prefect_user import PrefectUser, Program, needs_leases
from waiting import wait_until


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
    end_after_restart(holder)
    assert server.active_slots("database") == 0


@pytest.mark.restarts
@needs_leases
def test_a_lease_is_renewed_on_the_server_that_was_restarted(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    # The client renews three seconds before the deadline, which a loaded machine may need.
    holder = user.start("hold.py", flavour, "database", "--lease-duration", 12)
    holder.wait_for("acquired")
    server.kill()
    server.start()
    restarted = server.deadline("database")
    wait_until(lambda: server.deadline("database") > restarted, "the holder renewed its lease")
    end_after_restart(holder)
    assert server.active_slots("database") == 0


def end_after_restart(holder: Program) -> None:
    """Ends a holder that may have found the server down. It may log that, but keeps its lease."""
    holder.let_go()
    holder.finish(clean=False)
    assert "no longer reserved" not in holder.log


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
    server.stop()  # asserts success in time
    assert "panic" not in server.log()
    holder.kill()
