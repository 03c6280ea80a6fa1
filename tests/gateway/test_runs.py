"""Real programs with the real client, through the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leasehold_server import LeaseholdServer
from prefect_server import PrefectServer
from prefect_user import PrefectUser, Program
from waiting import wait_until

PROGRAMS = Path(__file__).parent / "programs"


def serve(user: PrefectUser, name: str, slots: int = 1) -> Program:
    """Starts the program that serves the deployment `limited/<name>`."""
    return user.start(str(PROGRAMS / "served.py"), name, slots)


def deployment(server: LeaseholdServer, name: str) -> str | None:
    found = server.request("GET", f"/deployments/name/limited/{name}")
    return found.json()["id"] if found.is_success else None


def ended(server: LeaseholdServer, run: str) -> dict[str, Any] | None:
    found = server.request("GET", f"/flow_runs/{run}").json()
    is_over = found["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    return found if is_over else None


def test_a_served_deployment_with_a_limit_runs_one_at_a_time(
    prefect: PrefectServer, gateway: LeaseholdServer, user: PrefectUser
) -> None:
    program = serve(user, "one-at-a-time")
    wait_until(lambda: deployment(gateway, "one-at-a-time"), "the deployment is there")
    found = deployment(gateway, "one-at-a-time")
    runs = []
    for _ in range(2):
        made = gateway.request("POST", f"/deployments/{found}/create_flow_run", {})
        assert made.is_success, made.text
        runs.append(made.json()["id"])
    over = [wait_until(lambda run=run: ended(gateway, run), "the run ends", 90) for run in runs]
    assert [run["state_name"] for run in over] == ["Completed", "Completed"]
    first, second = sorted(over, key=lambda run: run["start_time"])
    assert first["end_time"] <= second["start_time"]
    program.kill()


def events_arrive(prefect: PrefectServer) -> None:
    """Waits for the events of the five task runs of `runs.py without_limit`."""
    wanted = {"filter": {"event": {"name": ["prefect.task-run.Completed"]}}}

    def arrived() -> bool:
        events = prefect.request("POST", "/events/filter", wanted).json()["events"]
        return len(events) >= 5

    wait_until(arrived, "the events of five task runs arrive")


def test_a_flow_runs_and_its_events_arrive_on_both_sides(
    prefect: PrefectServer, gateway: LeaseholdServer, user: PrefectUser
) -> None:
    program = user.run("runs.py", "without_limit")
    assert program.lines("result")
    events_arrive(prefect)
    ours = gateway.request("GET", "/leasehold/events?kind=prefect.task-run.Completed").json()
    assert len(ours["events"]) >= 5


def test_the_command_line_of_prefect_works(gateway: LeaseholdServer, user: PrefectUser) -> None:
    user.prefect("gcl", "create", "by-hand", "--limit", "3")
    assert "by-hand" in user.prefect("gcl", "ls")
    assert '"limit": 3' in user.prefect("gcl", "inspect", "by-hand", "--output", "json")
    user.prefect("concurrency-limit", "create", "a-tag", "2")
    # Prefect cuts its list of all limits at 15, and shows the tags among them.
    user.prefect("concurrency-limit", "ls")
    assert "a-tag" in user.prefect("concurrency-limit", "inspect", "a-tag")
    user.prefect("flow-run", "ls")
    user.prefect("deployment", "ls")
    user.prefect("work-pool", "create", "a-pool", "--type", "process")
    assert "a-pool" in user.prefect("work-pool", "ls")
    user.prefect("variable", "set", "a_variable", "its value")
    assert "its value" in user.prefect("variable", "get", "a_variable")


def test_slots_are_taken_and_given_back_at_the_server_that_owns_them(
    prefect: PrefectServer, gateway: LeaseholdServer, user: PrefectUser
) -> None:
    made = prefect.request("POST", "/v2/concurrency_limits/", {"name": "theirs", "limit": 1})
    assert made.is_success, made.text
    program = user.start("hold.py", "sync", "theirs")
    program.wait_for("acquired")
    assert prefect.limit("theirs")["active_slots"] == 1
    program.let_go()
    program.finish()
    assert prefect.limit("theirs")["active_slots"] == 0


