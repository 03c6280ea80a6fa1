"""What a Prefect server holds before it is left: limits, live holders, and zombies."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from prefect_server import PrefectServer
from waiting import wait_until

DAY_SECONDS = 86_400


@dataclass
class Holdings:
    """The ids of limits by name, of leases by what holds them, and of task runs by name."""

    limits: dict[str, str] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)


def fill(server: PrefectServer) -> Holdings:
    """Makes four limits with holders by the API, as clients of the server's time do.

    `database` (5): a lease of 2 for a flow run, one of 1 for nobody, and a slot without a lease.
    `api` (100, draining slowly): 50 are spent. `off` (3) is inactive. The tag `ocr` (5): a task run
    that lives, and one that is over; both cannot renew.
    """
    made = Holdings()

    def post(path: str, body: Any) -> Any:
        response = answered(server, path, body)
        assert response.is_success, f"POST {path}: {response.status_code} {response.text}"
        return response.json()

    for body in [
        {"name": "database", "limit": 5},
        {"name": "api", "limit": 100, "slot_decay_per_second": 0.01},
        {"name": "off", "limit": 3, "active": False},
    ]:
        made.limits[body["name"]] = post("/v2/concurrency_limits/", body)["id"]
    tag = {"tag": "ocr", "concurrency_limit": 5}
    made.limits["tag:ocr"] = post("/concurrency_limits/", tag)["id"]

    flow = post("/flows/", {"name": "f"})["id"]
    running = {"type": "RUNNING", "name": "Running"}
    run = post("/flow_runs/", {"flow_id": flow, "name": "live-flow", "state": running})["id"]
    made.runs["live-flow"] = run
    for name, state in [("live-task", "RUNNING"), ("dead-task", "COMPLETED")]:
        body = {
            "flow_run_id": run,
            "task_key": name,
            "dynamic_key": str(uuid.uuid4()),
            "name": name,
            "state": {"type": state, "name": state.capitalize()},
        }
        made.runs[name] = post("/task_runs/", body)["id"]

    for name, slots, holder in [
        ("live-flow", 2, {"type": "flow_run", "id": run}),
        ("nobody", 1, None),
    ]:
        body = {"names": ["database"], "slots": slots, "lease_duration": DAY_SECONDS}
        body |= {"holder": holder}
        path = "/v2/concurrency_limits/increment-with-lease"
        response = answered(server, path, body)
        if response.is_success:
            made.leases[name] = response.json()["lease_id"]
    post("/v2/concurrency_limits/increment", {"names": ["database"], "slots": 1})
    post("/v2/concurrency_limits/increment", {"names": ["api"], "slots": 50, "mode": "rate_limit"})
    for name in ["live-task", "dead-task"]:
        take_tag(server, made.runs[name])
    return made


def answered(server: PrefectServer, path: str, body: Any) -> httpx.Response:
    """Asks again while its SQLite is locked, as clients do."""

    def answer() -> httpx.Response | None:
        response = server.request("POST", path, body)
        return None if response.status_code == 503 else response

    return wait_until(answer, f"POST {path} is answered")


def take_tag(server: PrefectServer, task_run: str) -> None:
    """As a client from 3.0 to 3.4.18 does. Before, the server does it when it sets a state."""
    body = {"names": ["ocr"], "task_run_id": task_run}
    response = answered(server, "/concurrency_limits/increment", body)
    if response.status_code in (404, 405):
        override = server.request("GET", "/concurrency_limits/tag/ocr").json()["active_slots"]
        body = {"slot_override": [*override, task_run]}
        response = server.request("POST", "/concurrency_limits/tag/ocr/reset", body)
    assert response.is_success, f"{response.status_code} {response.text}"
