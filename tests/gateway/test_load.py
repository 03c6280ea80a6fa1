"""Limits move under load, and the gateway is killed meanwhile.

`cargo xtask test gateway --whole -- -k load -s` is the long form: it also restarts the Prefect
server, and prints its report.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from typing import Any

import pytest

from conftest import NEWEST, StartGateway, StartUpstream
from leasehold_server import LeaseholdServer
from load import Load, Observer
from waiting import wait_until

ROUNDS, ROUNDS_IN_CI = 20, 3


def move(gateway: LeaseholdServer, how: str, names: list[str]) -> dict[str, Any]:
    body = {"limits": names}
    moved = gateway.request("POST", f"/leasehold/migration/{how}", body)
    assert moved.status_code == 200, moved.text
    return {limit["name"]: limit for limit in moved.json()["limits"]}


def move_until_moved(gateway: LeaseholdServer, how: str, names: list[str]) -> float:
    """Moves limits, again where a busy server let it be given up. Returns the longest call."""
    longest = 0.0
    for _ in range(40):
        began = time.monotonic()
        moved = move(gateway, how, names)
        longest = max(longest, time.monotonic() - began)
        if all(limit["outcome"] != "refused" for limit in moved.values()):
            return longest
        time.sleep(0.3)
    raise AssertionError(f"{how}: {moved}")


def test_never_more_holders_than_slots_while_limits_move_under_load(
    upstream_of: StartUpstream, start_gateway: StartGateway, pytestconfig: pytest.Config
) -> None:
    is_whole = pytestconfig.getoption("whole")
    rounds = ROUNDS if is_whole else ROUNDS_IN_CI
    prefect = upstream_of(NEWEST)
    gateway = start_gateway(prefect)
    suffix = uuid.uuid4().hex[:8]
    db, api, tag = f"db-{suffix}", f"api-{suffix}", f"ocr-{suffix}"
    names = [db, api, f"tag:{tag}"]
    gateway.create_limit(db, 3)
    gateway.create_limit(api, 2)
    gateway.create_tag_limit(tag, 2)
    observer = Observer({db: 3, api: 2, f"tag:{tag}": 2})
    moves: list[float] = []
    with Load(lambda: gateway.api_url, observer) as load:
        for _ in range(3):
            load.with_leases(db)
            load.with_tag(tag)
        for _ in range(2):
            load.with_leases(api)
            load.with_leases(api, db)
        for number in range(rounds):
            time.sleep(random.uniform(0.5, 2.0))
            moves.append(move_until_moved(gateway, "advance", names))
            time.sleep(random.uniform(0.2, 1.5))
            gateway.kill()
            gateway.start()
            if is_whole and number % 5 == 4:
                prefect.stop()
                prefect.start()
            time.sleep(random.uniform(0.2, 1.5))
            moves.append(move_until_moved(gateway, "rollback", names))
            if number % 2:
                gateway.kill()
                gateway.start()
    report = observer.report() | {"longest move in seconds": round(max(moves), 3)}
    print(json.dumps(report, indent=2))
    assert not report["breaches"], report
    assert not report["failures"], report
    assert all(observer.grants[name] > rounds for name in names), report
    if not is_whole:
        return
    # What a killed gateway left of a grant that nobody read ends with its lease.
    wait_until(
        lambda: all(prefect.limit(name)["active_slots"] == 0 for name in (db, api)),
        "nothing is left",
        120,
    )
