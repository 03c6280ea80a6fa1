"""`prefect flow-run cancel` while a flow runs that holds a slot of a tag and one of a limit."""

from __future__ import annotations

import pytest

from conftest import MakeUser, StartServer
from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, HAS_LEASES, PrefectUser, Program
from waiting import wait_until


@pytest.fixture
def server(start_server: StartServer) -> LeaseholdServer:
    server = start_server("--lease-seconds-min", "1")
    server.create_tag_limit("database", 1)
    server.create_limit("license", 1)
    return server


@pytest.fixture
def user(server: LeaseholdServer, make_user: MakeUser) -> PrefectUser:
    # 2.20 deadlocks in itself when its worker for logs and its waiter for slots start at once.
    logging = {"PREFECT_LOGGING_TO_API_ENABLED": "false"} if CLIENT_VERSION < (3,) else {}
    return make_user(server, **logging)


def start_flow(server: LeaseholdServer, user: PrefectUser) -> tuple[Program, str]:
    """A flow that holds both, and the id of its run."""
    program = user.start("runs.py", "hold_both")
    program.wait_for("holding")
    assert held(server) == (1, 1)
    (flow_run,) = program.lines("flow-run")
    return program, flow_run


def held(server: LeaseholdServer) -> tuple[int, int]:
    """How many slots of the tag are held, and how many of the limit."""
    return len(server.tag_holders("database")), server.active_slots("license")


def state_of(server: LeaseholdServer, flow_run: str) -> str:
    return server.request("GET", f"/flow_runs/{flow_run}").json()["state_type"]


def test_a_flow_that_is_cancelled_holds_what_it_holds_until_it_ends(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    program, flow_run = start_flow(server, user)
    said = user.prefect("flow-run", "cancel", flow_run)
    assert "was successfully scheduled for cancellation" in said
    assert state_of(server, flow_run) == "CANCELLING"
    assert held(server) == (1, 1), "it lives, and works with what it holds"
    program.let_go()
    wait_until(lambda: not program.is_running(), "the flow has ended")
    assert held(server) == (0, 0)
    assert state_of(server, flow_run) == "CANCELLING", "nobody has said that it is over"


def test_what_a_cancelled_flow_held_comes_back_when_its_process_is_ended(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    program, flow_run = start_flow(server, user)
    user.prefect("flow-run", "cancel", flow_run)
    # A worker that finds the flow run cancelling does the same.
    program.kill()
    user.run("watch.py", "cancelled", flow_run, clean=False)
    assert state_of(server, flow_run) == "CANCELLED"
    wait_until(lambda: not server.tag_holders("database"), "the tag is free", within_seconds=120)
    if HAS_LEASES:  # older versions name no holder of the limit
        wait_until(lambda: held(server) == (0, 0), "the limit is free")


def test_a_flow_that_is_over_cannot_be_cancelled(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    program, flow_run = start_flow(server, user)
    program.let_go()
    program.finish(clean=False)
    assert held(server) == (0, 0)
    user.prefect("flow-run", "cancel", flow_run, exit_code=1)
    assert state_of(server, flow_run) == "COMPLETED"
    assert flow_run in user.prefect("flow-run", "ls", "--state", "Completed")
    assert flow_run not in user.prefect("flow-run", "ls", "--state", "Cancelled")


def test_a_flow_that_nobody_knows_cannot_be_cancelled(user: PrefectUser) -> None:
    user.prefect("flow-run", "cancel", "00000000-0000-4000-8000-000000000000", exit_code=1)
