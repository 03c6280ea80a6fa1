"""Flows and tasks with only this server: no Prefect server, and clean logs."""

from __future__ import annotations

import re

import pytest

from conftest import MakeUser, StartServer
from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, NOISE, PrefectUser, Program

INFO = re.compile(r"^\d\d:\d\d:\d\d\.\d+ \| INFO    \| .*\n", re.MULTILINE)

HAS_BARE_TASKS = CLIENT_VERSION >= (3,)
"""Older clients run tasks only in flows."""


def run(user: PrefectUser, script: str, *arguments: str, exit_code: int = 0) -> Program:
    """Runs a program to its end. It may log what it does, but no complaint."""
    program = user.run(script, *arguments, exit_code=exit_code, clean=False, within_seconds=90)
    if exit_code == 0:
        complaints = INFO.sub("", NOISE.sub("", program.log))
        assert not complaints, f"the client complains:\n{complaints}"
    return program


def result(program: Program) -> str:
    (result,) = program.lines("result")
    return result


def at_once(program: Program) -> int:
    """The largest number of pieces of work that ran at the same time."""
    began = [(float(line.split()[0]), 1) for line in program.lines("began")]
    ended = [(float(line.split()[0]), -1) for line in program.lines("ended")]
    running = most = 0
    for _, step in sorted(began + ended):
        running += step
        most = max(most, running)
    assert running == 0
    return most


def seconds_taken(program: Program) -> float:
    """The time from the first request's question for its turn until the last request's turn."""
    return max(map(float, program.lines("request"))) - min(map(float, program.lines("asked")))


@pytest.fixture
def guide_user(server: LeaseholdServer, make_user: MakeUser) -> PrefectUser:
    """A user of the guide's programs.

    2.20 sometimes deadlocks in itself when its worker for logs and its waiter for slots start at
    once, so it sends no logs here. The code of 3.8 for these programs is the same as in 3.9.
    """
    if (3, 8) <= CLIENT_VERSION < (3, 9):
        pytest.skip("the client 3.9 runs the same code")
    if CLIENT_VERSION < (3,):
        return make_user(server, PREFECT_LOGGING_TO_API_ENABLED="false")
    return make_user(server)


@pytest.mark.parametrize("name", ["tasks", "in_asyncio"])
def test_the_guide_s_tasks_hold_the_slots_that_there_are(
    server: LeaseholdServer, guide_user: PrefectUser, name: str
) -> None:
    server.create_limit("database", 2)
    program = run(guide_user, "guide.py", name)
    assert result(program) == "[3, 5, 7, 9]"
    assert at_once(program) <= 2
    assert server.active_slots("database") == 0


@pytest.mark.parametrize("name", ["rate_limited", "throttled"])
def test_the_guide_s_requests_keep_to_their_rate(
    server: LeaseholdServer, guide_user: PrefectUser, name: str
) -> None:
    server.create_limit("rate-limited-api", 4, slot_decay_per_second=2)
    program = run(guide_user, "guide.py", name)
    assert result(program) == "10"
    # Four at once, and six at two a second.
    assert seconds_taken(program) >= 3.0


def test_the_guide_s_items_are_processed_five_at_a_time(
    server: LeaseholdServer, guide_user: PrefectUser
) -> None:
    server.create_limit("data-processing", 5)
    program = run(guide_user, "guide.py", "five_at_a_time")
    assert result(program) == "105"
    assert at_once(program) <= 5
    assert server.active_slots("data-processing") == 0


def test_the_guide_s_limits_work_outside_a_flow(
    server: LeaseholdServer, guide_user: PrefectUser
) -> None:
    server.create_limit("database", 1)
    server.create_limit("rate-limited-api", 4, slot_decay_per_second=2)
    assert result(run(guide_user, "guide.py", "outside_a_flow")) == "done"
    assert server.active_slots("database") == 0


@pytest.mark.parametrize("name", ["tagged", "mapped", "tagged_twice"])
def test_a_task_runs_when_all_its_tags_have_room(
    start_server: StartServer, make_user: MakeUser, name: str
) -> None:
    server = start_server("--tag-wait-seconds", "1")
    user = make_user(server)
    server.create_tag_limit("database", 1)
    server.create_tag_limit("gpu", 2)
    program = run(user, "runs.py", name)
    assert result(program) == {"mapped": "[1, 2, 3]"}.get(name, "[0, 1, 2]")
    assert at_once(program) == 1
    assert server.tag_holders("database") == server.tag_holders("gpu") == []


def test_a_tag_without_a_limit_is_free(server: LeaseholdServer, user: PrefectUser) -> None:
    assert result(run(user, "runs.py", "without_limit")) == "[0, 1, 2, 3, 4]"


@pytest.mark.parametrize(
    "name, expected",
    [("subflows", "[0, 1]"), ("flow_retries", "[2, 2]"), ("task_retries", "2")],
)
def test_subflows_and_retries(
    server: LeaseholdServer, user: PrefectUser, name: str, expected: str
) -> None:
    if name == "flow_retries" and CLIENT_VERSION < (3,):
        # This version keeps the results of such a flow's tasks, and does not run them again.
        expected = "[2, 1]"
    server.create_tag_limit("database", 1)
    program = user.run("runs.py", name, clean=False, within_seconds=90)
    # The log has only the failed attempts.
    assert "WARNING" not in program.log and "404 Not Found" not in program.log
    assert result(program) == expected
    assert server.tag_holders("database") == []


@pytest.mark.skipif(CLIENT_VERSION < (3, 9), reason="the newest client stands for those to come")
def test_a_client_that_is_newer_than_all_that_are_known_complains_about_nothing(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_tag_limit("database", 1)
    program = run(user, "newer.py", "runs.py", "tagged")
    assert result(program) == "[0, 1, 2]"
    # The first request of this program does not concern a flow: it is the probe before an event.
    server.create_limit("license", 1)
    program = user.run("newer.py", "hold.py", "sync", "license")
    assert program.lines("acquired")


def test_a_failing_flow_fails_with_its_own_error(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_tag_limit("database", 1)
    program = run(user, "runs.py", "failing", exit_code=1)
    assert program.log.rstrip().endswith("ValueError: as it must")
    assert server.tag_holders("database") == []
    (state,) = {run["state_type"] for run in flow_runs(server)}
    assert state == "FAILED"


def test_a_cancelled_flow_gives_back_what_it_held(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_tag_limit("database", 1)
    program = run(user, "runs.py", "cancelled", exit_code=1)
    assert "Cancel" in program.log
    assert server.tag_holders("database") == []
    (state,) = {run["state_type"] for run in flow_runs(server)}
    assert state == "CANCELLED"


@pytest.mark.skipif(not HAS_BARE_TASKS, reason="this version runs tasks in flows alone")
def test_a_task_runs_outside_a_flow(server: LeaseholdServer, user: PrefectUser) -> None:
    server.create_tag_limit("database", 1)
    assert result(run(user, "runs.py", "bare_task")) == "1"
    assert server.tag_holders("database") == []


def test_a_tag_whose_limit_is_0_aborts_instead_of_waiting(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_tag_limit("database", 0)
    program = user.run("runs.py", "tagged", exit_code=1, clean=False)
    assert not program.lines("began")


@pytest.mark.restarts
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_flow_goes_on_when_the_server_is_restarted_in_the_middle(
    server: LeaseholdServer, user: PrefectUser, how: str
) -> None:
    server.create_tag_limit("database", 1)
    program = user.start("runs.py", "hold")
    program.wait_for("holding")
    holders = server.tag_holders("database")
    getattr(server, how)()
    server.start()
    assert server.tag_holders("database") == holders != []
    program.let_go()
    program.finish(clean=False)
    assert result(program) == "let go"
    assert server.tag_holders("database") == []
    (run,) = flow_runs(server)
    assert run["state_type"] == "COMPLETED"


def test_what_is_not_served_says_so(server: LeaseholdServer) -> None:
    response = server.request("POST", "/deployments/filter", {})
    assert response.status_code == 404
    assert response.json()["detail"].startswith("Leasehold keeps no deployments")


def flow_runs(server: LeaseholdServer) -> list[dict]:
    response = server.request("POST", "/flow_runs/filter", {})
    assert response.is_success, response.text
    return response.json()


@pytest.mark.skipif(CLIENT_VERSION >= (3,), reason="they read PREFECT_API_AUTH_STRING")
def test_version_2_signs_in_by_its_address(
    start_server: StartServer, make_user: MakeUser
) -> None:
    credentials = "admin:secret"
    server = start_server(PREFECT_SERVER_API_AUTH_STRING=credentials)
    for settings in ({"PREFECT_API_AUTH_STRING": credentials}, {"PREFECT_API_KEY": credentials}):
        user = make_user(server, **settings)
        program = user.run("runs.py", "without_limit", exit_code=1)
        assert "401 Unauthorized" in program.log
    address = server.api_url.replace("://", f"://{credentials}@")
    run(make_user(server, PREFECT_API_URL=address), "runs.py", "without_limit")
