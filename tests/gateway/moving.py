"""What a test asks of a gateway whose limits move, and of the Prefect server behind it."""

from __future__ import annotations

from typing import Any

from leasehold_server import LeaseholdServer
from prefect_server import PrefectServer

LIMITS = "/v2/concurrency_limits"
TAGS = "/concurrency_limits"
MIGRATION = "/leasehold/migration"


def acquire(server: LeaseholdServer | PrefectServer, *names: str, **fields: Any) -> Any:
    body = {"names": list(names), "slots": 1, "lease_duration": 60, **fields}
    return server.request("POST", f"{LIMITS}/increment-with-lease", body)


def take(server: LeaseholdServer | PrefectServer, *names: str, **fields: Any) -> str:
    answer = acquire(server, *names, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["lease_id"]


def release(server: LeaseholdServer | PrefectServer, lease: str) -> None:
    answer = server.request("POST", f"{LIMITS}/decrement-with-lease", {"lease_id": lease})
    assert answer.status_code == 204, answer.text


def renew(server: LeaseholdServer, lease: str) -> int:
    body = {"lease_duration": 60}
    return server.request("POST", f"{LIMITS}/leases/{lease}/renew", body).status_code


def move(server: LeaseholdServer, how: str, *names: str, **fields: Any) -> list[dict[str, Any]]:
    answer = server.request("POST", f"{MIGRATION}/{how}", {"limits": list(names), **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["limits"]


def advance(server: LeaseholdServer, *names: str) -> None:
    for moved in move(server, "advance", *names):
        assert moved["outcome"] == "moved", moved


def roll_back(server: LeaseholdServer, *names: str) -> None:
    for moved in move(server, "rollback", *names):
        assert moved["outcome"] == "moved", moved


def status(server: LeaseholdServer, name: str) -> dict[str, Any]:
    answer = server.request("GET", MIGRATION)
    assert answer.status_code == 200, answer.text
    (limit,) = [limit for limit in answer.json()["limits"] if limit["name"] == name]
    return limit


def phase(server: LeaseholdServer, name: str) -> str:
    return status(server, name)["phase"]
