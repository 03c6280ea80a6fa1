"""Killed clients hold nothing for good, and living clients lose nothing."""

from __future__ import annotations

import time

import pytest

from conftest import MakeUser, StartServer
from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, PrefectUser, Program
from waiting import wait_until

USES_LEASES = CLIENT_VERSION >= (3, 8)
"""Older clients hold tags without a deadline."""

HAS_EVENTS = CLIENT_VERSION >= (3,)


def start_holder(user: PrefectUser, server: LeaseholdServer) -> tuple[Program, str]:
    """A flow whose task holds the tag `database`, and the id of the flow run."""
    holder = user.start("runs.py", "hold")
    holder.wait_for("holding")
    assert len(server.tag_holders("database")) == 1
    (flow_run,) = holder.lines("flow-run")
    return holder, flow_run


def wait_until_free(server: LeaseholdServer, within_seconds: float = 60.0) -> None:
    wait_until(
        lambda: server.tag_holders("database") == [],
        "the slot is back",
        within_seconds=within_seconds,
    )


def let_a_grace_pass(server: LeaseholdServer) -> None:
    """Waits until the server has released what a completed task run held.

    By then it has also judged evidence of the same age about other holders.
    """
    server.create_tag_limit("control", 1)
    body = {"task_key": "control", "dynamic_key": "0"}
    task_run = server.request("POST", "/task_runs/", body).json()["id"]
    body = {"names": ["control"], "task_run_id": task_run}
    assert server.request("POST", "/concurrency_limits/increment", body).is_success
    body = {"state": {"type": "COMPLETED"}}
    assert server.request("POST", f"/task_runs/{task_run}/set_state", body).is_success
    assert server.tag_holders("control") == [task_run]
    wait_until(lambda: server.tag_holders("control") == [], "the slot of the control is back")


def how_it_ended(server: LeaseholdServer, lease: str) -> str:
    response = server.request("GET", f"/leases/{lease}")
    assert response.status_code == 404
    return response.json()["detail"]


@pytest.mark.skipif(USES_LEASES, reason="this version's leases have a deadline")
@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
def test_d07_a_killed_flow_holds_nothing_once_it_is_said_to_have_crashed(
    server: LeaseholdServer, user: PrefectUser, restart: bool
) -> None:
    server.create_tag_limit("database", 1)
    holder, flow_run = start_holder(user, server)
    (lease,) = server.leases("tag:database")
    assert lease["deadline"] is None
    holder.kill()
    user.run("watch.py", "crashed", flow_run, clean=False)
    if restart:
        server.kill()
        server.start()
    wait_until_free(server)
    ended = how_it_ended(server, lease["id"])
    assert f"flow run {flow_run} is over: Crashed" in ended


@pytest.mark.skipif(USES_LEASES, reason="this version's leases have a deadline")
def test_d07_a_killed_flow_holds_nothing_once_its_run_is_deleted(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_tag_limit("database", 1)
    holder, flow_run = start_holder(user, server)
    (lease,) = server.leases("tag:database")
    holder.kill()
    user.prefect("flow-run", "cancel", flow_run)
    let_a_grace_pass(server)
    assert server.tag_holders("database"), "no state says that it is over"
    user.prefect("flow-run", "delete", flow_run)
    assert server.tag_holders("database") == []
    assert f"flow run {flow_run} was deleted" in how_it_ended(server, lease["id"])


@pytest.mark.skipif(not HAS_EVENTS, reason="this version sends no events")
@pytest.mark.skipif(USES_LEASES, reason="this version's leases have a deadline")
def test_d07_a_killed_flow_holds_nothing_once_its_heartbeat_stays_away(
    start_server: StartServer, make_user: MakeUser
) -> None:
    server = start_server("--heartbeat-timeout-seconds", "4")
    user = make_user(server)
    server.create_tag_limit("database", 1)
    holder, flow_run = start_holder(user, server)
    (lease,) = server.leases("tag:database")
    holder.kill()
    let_a_grace_pass(server)
    assert server.tag_holders("database"), "no heartbeat ever came, so none is missed"
    user.run("watch.py", "heartbeat", flow_run, clean=False)
    wait_until_free(server)
    assert f"flow run {flow_run} gives no sign of life" in how_it_ended(server, lease["id"])


@pytest.mark.skipif(not HAS_EVENTS, reason="this version sends no events")
@pytest.mark.restarts
def test_a_flow_that_lives_is_not_reaped_because_the_server_was_away(
    start_server: StartServer, make_user: MakeUser
) -> None:
    silence_seconds = 20
    server = start_server("--heartbeat-timeout-seconds", str(silence_seconds))
    user = make_user(server)
    server.create_tag_limit("database", 1)
    holder, flow_run = start_holder(user, server)
    user.run("watch.py", "heartbeat", flow_run, clean=False)
    server.kill()
    too_late = time.monotonic() + silence_seconds + 1
    wait_until(lambda: time.monotonic() > too_late, "the downtime exceeds the timeout")
    server.start()
    # If the downtime counted, the heartbeat would by now be missing for too long.
    let_a_grace_pass(server)
    assert len(server.tag_holders("database")) == 1
    holder.let_go()
    holder.finish(clean=False)
    assert holder.lines("result") == ["let go"]
    assert server.tag_holders("database") == []


def test_d15_a_killed_flow_that_runs_again_holds_one_slot(
    start_server: StartServer, make_user: MakeUser
) -> None:
    server = start_server("--tag-wait-seconds", "1")
    user = make_user(server)
    server.create_tag_limit("database", 2)
    first, _ = start_holder(user, server)
    first.kill()
    second = user.start("runs.py", "hold")
    second.wait_for("holding")
    assert len(server.tag_holders("database")) == 2
    second.let_go()
    second.finish(clean=False)
    assert len(server.tag_holders("database")) == 1


def test_an_operator_frees_what_a_killed_flow_holds(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_tag_limit("database", 1)
    holder, _ = start_holder(user, server)
    (lease,) = server.leases("tag:database")
    holder.kill()
    response = server.request("DELETE", f"/leases/{lease['id']}?", {"reason": "it was killed"})
    assert response.status_code == 204
    assert server.tag_holders("database") == []
    assert "it was killed" in how_it_ended(server, lease["id"])


@pytest.mark.skipif(not USES_LEASES, reason="this version's leases have no deadline")
def test_a_lease_with_a_deadline_ends_by_itself_when_its_flow_is_killed(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_tag_limit("database", 1)
    holder, _ = start_holder(user, server)
    (lease,) = server.leases("tag:database")
    holder.kill()
    wait_until_free(server, within_seconds=120)
    assert "it expired at" in how_it_ended(server, lease["id"])
