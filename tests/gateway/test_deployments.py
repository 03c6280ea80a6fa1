"""Deployments with a limit of their own, whose runs hold slots of a limit that is ours.

The limit of the deployment stays Prefect's: it takes the slot before a run starts.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from conftest import NEWEST, StartGateway, StartUpstream
from leasehold_server import LeaseholdServer
from moving import advance
from prefect_user import PrefectUser, Program
from test_runs import PROGRAMS, ended
from users import MakeUser
from waiting import wait_until

POLLS = {"PREFECT_RUNNER_POLL_FREQUENCY": "2", "PREFECT_WORKER_QUERY_SECONDS": "2"}
"""Runs are found at once, not after ten seconds: a run has to collide while another one runs."""

DEPLOYED = str(PROGRAMS / "deployed.py")
WORKER = str(PROGRAMS / "worker.py")


class Deployment:
    """One, whose runs hold a slot of `limit`, which is ours and has room for all."""

    def __init__(self, gateway: LeaseholdServer, user: PrefectUser):
        suffix = uuid.uuid4().hex[:8]
        self.name = f"deployment-{suffix}"
        self.limit = f"limit-{suffix}"
        self._gateway = gateway
        self._user = user
        gateway.create_limit(self.limit, 5)
        advance(gateway, self.limit)

    def serve(self, strategy: str, flow: str = "holding") -> Program:
        return self._user.start(DEPLOYED, "serve", self.name, strategy, flow)

    def give_to_a_worker(self, strategy: str) -> Program:
        pool = f"pool-{self.name}"
        self._user.prefect("work-pool", "create", pool, "--type", "process")
        self._user.run(DEPLOYED, "deploy", self.name, strategy, pool, clean=False)
        return self._user.start(WORKER, pool)

    def run(self, seconds: float, flow: str = "holding") -> str:
        """Starts a run, and returns its id."""
        path = f"/deployments/name/{flow.replace('_', '-')}/{self.name}"

        def there() -> str | None:
            found = self._gateway.request("GET", path)
            return found.json()["id"] if found.is_success else None

        found = wait_until(there, "the deployment is there")
        body = {"parameters": {"limit": self.limit, "seconds": seconds}}
        made = self._gateway.request("POST", f"/deployments/{found}/create_flow_run", body)
        assert made.is_success, made.text
        return made.json()["id"]

    def cancel(self, run: str) -> None:
        """As the pages and `prefect flow-run cancel` do."""
        body = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
        told = self._gateway.request("POST", f"/flow_runs/{run}/set_state", body)
        assert told.json()["status"] == "ACCEPT", told.text

    def over(self, run: str) -> dict[str, Any]:
        return wait_until(lambda: ended(self._gateway, run), "the run is over", 180)

    def holds(self, slots: int) -> None:
        wait_until(lambda: self._gateway.active_slots(self.limit) == slots, f"{slots} are held")


@pytest.fixture
def deployment(
    upstream_of: StartUpstream, start_gateway: StartGateway, make_user: MakeUser
) -> Deployment:
    gateway = start_gateway(upstream_of(NEWEST))
    return Deployment(gateway, make_user(gateway, PREFECT_LOGGING_LEVEL="WARNING", **POLLS))


def start(deployment: Deployment, how: str, strategy: str) -> Program:
    if how == "served":
        return deployment.serve(strategy)
    return deployment.give_to_a_worker(strategy)


@pytest.mark.parametrize("how", ["served", pytest.param("worker", marks=pytest.mark.whole)])
def test_a_run_that_collides_is_cancelled(deployment: Deployment, how: str) -> None:
    runner = start(deployment, how, "CANCEL_NEW")
    first = deployment.run(20)
    deployment.holds(1)
    second = deployment.run(0)
    assert deployment.over(second)["state_type"] == "CANCELLED"
    assert deployment.over(first)["state_type"] == "COMPLETED"
    deployment.holds(0)
    runner.kill()


@pytest.mark.parametrize("how", ["worker", pytest.param("served", marks=pytest.mark.whole)])
def test_a_run_that_collides_waits_for_its_turn(deployment: Deployment, how: str) -> None:
    runner = start(deployment, how, "ENQUEUE")
    runs = [deployment.run(0.5) for _ in range(2)]
    over = [deployment.over(run) for run in runs]
    assert [run["state_type"] for run in over] == ["COMPLETED", "COMPLETED"]
    first, second = sorted(over, key=lambda run: run["start_time"])
    assert first["end_time"] <= second["start_time"]
    deployment.holds(0)
    runner.kill()


def test_a_run_that_is_cancelled_gives_its_slot_back(deployment: Deployment) -> None:
    runner = deployment.serve("ENQUEUE")
    run = deployment.run(3_600)
    deployment.holds(1)
    deployment.cancel(run)
    assert deployment.over(run)["state_type"] == "CANCELLED"
    deployment.holds(0)
    runner.kill()


@pytest.mark.whole
def test_a_run_that_waits_longer_than_its_lease_for_its_retry_completes(
    start_prefect: Any, start_gateway: StartGateway, make_user: MakeUser
) -> None:
    setting = "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION"
    gateway = start_gateway(start_prefect(**{setting: "30"}))
    deployment = Deployment(gateway, make_user(gateway, PREFECT_LOGGING_LEVEL="WARNING", **POLLS))
    runner = deployment.serve("ENQUEUE", "failing_once")
    run = deployment.over(deployment.run(0.5, "failing_once"))
    assert (run["state_type"], run["run_count"]) == ("COMPLETED", 2)
    deployment.holds(0)
    runner.kill()
