"""`leasehold` at a Prefect server, and `leasehold migrate prefect` in front of one."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from leasehold_commands import LeaseholdCommands
from leasehold_server import LeaseholdServer
from prefect_server import PrefectServer
from waiting import wait_until


@pytest.fixture
def name() -> str:
    """A name that no other test gives a limit."""
    return f"commands-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def at_gateway(gateway: LeaseholdServer, tmp_path: Path) -> LeaseholdCommands:
    return LeaseholdCommands(gateway.api_url, tmp_path)


@pytest.fixture
def at_prefect(prefect: PrefectServer, tmp_path: Path) -> LeaseholdCommands:
    return LeaseholdCommands(prefect.api_url, tmp_path)


def read(commands: LeaseholdCommands, *arguments: str) -> Any:
    return json.loads(commands.prefect(*arguments, "--output", "json"))


def test_limits_are_managed_at_a_prefect_server(
    at_prefect: LeaseholdCommands, name: str, tmp_path: Path
) -> None:
    assert f"with name '{name}'" in at_prefect.prefect("gcl", "create", name, "--limit", "5")
    at_prefect.prefect("gcl", "create", name, "--limit", "5", exit_code=1)
    at_prefect.prefect("gcl", "update", name, "--limit", "7", "--active-slots", "2")
    limit = read(at_prefect, "gcl", "inspect", name)
    assert (limit["limit"], limit["active_slots"]) == (7, 2)
    assert name in at_prefect.prefect("gcl", "ls")
    at_prefect.prefect("concurrency-limit", "create", name, "3")
    assert read(at_prefect, "concurrency-limit", "inspect", name)["concurrency_limit"] == 3

    file = tmp_path / "limits.yaml"
    file.write_text(f"limits:\n- {{name: {name}, limit: 8}}\n- {{tag: {name}, limit: 4}}\n")
    assert "limit 7 → 8" in at_prefect.prefect("diff", "-f", str(file), exit_code=2)
    at_prefect.prefect("apply", "-f", str(file))
    at_prefect.prefect("diff", "-f", str(file))
    assert f"tag: {name}" in at_prefect.prefect("export")

    at_prefect.prefect("concurrency-limit", "delete", name)
    at_prefect.prefect("gcl", "delete", name)


def test_what_a_prefect_server_does_not_show_is_said(
    at_prefect: LeaseholdCommands, name: str
) -> None:
    at_prefect.prefect("gcl", "create", name, "--limit", "5")
    said = at_prefect.prefect("why", name, exit_code=69)
    assert "0 of 5 slots" in said and "--upstream" in said
    for arguments in (["leases", "ls"], ["waiters"], ["events"]):
        assert "doctor" in at_prefect.prefect(*arguments, exit_code=69)
    said = at_prefect.prefect("migrate", "prefect", "status", exit_code=69)
    assert "in front of no Prefect server" in said
    assert "Prefect 3." in at_prefect.prefect("status")
    checks = {check["about"]: check["verdict"] for check in read(at_prefect, "doctor")}
    assert (checks["server"], checks["WebSockets"]) == ("warning", "well")
    at_prefect.prefect("gcl", "delete", name)


def test_a_limit_moves_and_comes_back(
    at_gateway: LeaseholdCommands, gateway: LeaseholdServer, name: str
) -> None:
    migrate = ["migrate", "prefect"]

    def limit() -> dict[str, Any]:
        (limit,) = read(at_gateway, *migrate, "status", name)["limits"]
        return limit

    at_gateway.prefect("gcl", "create", name, "--limit", "2")
    body = {"names": [name], "slots": 1, "lease_duration": 60}
    taken = gateway.request("POST", "/v2/concurrency_limits/increment-with-lease", body)
    assert taken.is_success
    wait_until(lambda: limit()["taken"] == 1, "the gateway counts the slot")
    assert limit()["phase"] == "upstream"
    assert "1 of 2 slots are taken" in at_gateway.prefect("why", name)
    assert "Nothing waits." in at_gateway.prefect("waiters")

    assert "upstream →" in at_gateway.prefect(*migrate, "advance", name, "--dry-run", exit_code=2)
    assert limit()["phase"] == "upstream"
    at_gateway.prefect(*migrate, "advance", name)
    assert (limit()["phase"], limit()["foreign"]) == ("draining", 1)
    assert "draining" in at_gateway.prefect(*migrate, "status", name)
    lease = {"lease_id": taken.json()["lease_id"]}
    released = gateway.request("POST", "/v2/concurrency_limits/decrement-with-lease", lease)
    assert released.is_success
    assert "arrived: leasehold" in at_gateway.prefect(*migrate, "advance", name, "--watch")
    assert f"{name} has room" in at_gateway.prefect("why", name)

    at_gateway.prefect(*migrate, "drop-phantoms", name)
    assert "arrived: upstream" in at_gateway.prefect(*migrate, "rollback", name, "--watch")
    assert "no limit" in at_gateway.prefect(*migrate, "status", "nobody", exit_code=1)
    assert "Upstream" in at_gateway.prefect("status")
    at_gateway.prefect("gcl", "delete", name)
