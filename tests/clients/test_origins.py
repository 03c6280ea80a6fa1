"""The holder of a lease for which `concurrency` names none."""

from __future__ import annotations

from typing import Any

import pytest

from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, PrefectUser, needs_leases
from waiting import wait_until

CLIENT = f"prefect/{'.'.join(str(part) for part in CLIENT_VERSION)}"


def origin(server: LeaseholdServer) -> dict[str, Any]:
    [lease] = server.request("GET", "/leases").json()
    return lease["origin"]


@needs_leases
def test_a_lease_of_a_program_shows_its_address_and_its_client(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", "sync", "database")
    holder.wait_for("acquired")
    shown = origin(server)
    assert (shown["address"], shown["client"]) == ("127.0.0.1", CLIENT)
    assert (shown["flow"], shown["identified"]) == (None, None)
    holder.let_go()
    holder.finish()


@needs_leases
@pytest.mark.parametrize("where", ["flow", "task"])
def test_a_lease_of_a_flow_shows_its_run(
    server: LeaseholdServer, user: PrefectUser, where: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold_in_flow.py", where)
    holder.wait_for("acquired")
    wait_until(lambda: origin(server)["identified"] is not None, "the client's event was joined")
    identified = origin(server)["identified"]
    said = dict(line.split(" ", 1) for line in holder.output.splitlines() if " " in line)
    assert identified["flow_run"]["id"] == said["flow_run"]
    task_run = identified["task_run"]
    assert (task_run and task_run["id"]) == (said["task_run"] if where == "task" else None)
    # The server has just started: it may not know grants from before.
    assert identified["certainty"] == "likely"
    assert identified["flow_run"]["name"]
    logged = "/leasehold/events?kind=holder.identified"
    wait_until(lambda: server.request("GET", logged).json()["events"], "that is in the log")
    if CLIENT_VERSION >= (3, 8, 0):
        assert origin(server)["flow"]["name"] == "nightly"
    holder.let_go()
    holder.finish(clean=False)
