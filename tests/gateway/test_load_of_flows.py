"""Flows start, fail and are killed while limits move and the gateway is killed.

`cargo xtask test gateway --whole -- -k load -s` is the long form, as for `test_load`.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import defaultdict
from datetime import datetime
from typing import Any

import pytest

from conftest import NEWEST, StartGateway, StartUpstream
from leasehold_server import LeaseholdServer
from load import Load, Observer
from prefect_user import PrefectUser, Program
from test_load import ROUNDS, move_until_moved
from test_moving_clients import most_at_once
from test_runs import PROGRAMS, deployment, ended, serve
from users import MakeUser
from waiting import wait_until

TAG_SLOTS, LIMIT_SLOTS, DEPLOYMENT_SLOTS, RATE = 3, 5, 2, 10
FLOWS_AT_ONCE = 3
ROUNDS_IN_CI = 2


class Flows:
    """Programs with one flow each. Every third fails by itself; some hang until they are killed."""

    def __init__(self, user: PrefectUser, tag: str, limit: str, rate: str):
        self._user = user
        self._names = (tag, limit, rate)
        self._running: list[tuple[str, Program]] = []
        self._started = 0
        self.spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.passes: list[tuple[float, float]] = []

    def keep_running(self, at_once: int) -> None:
        """Collects those that have ended, and starts others in their place."""
        for outcome, program in list(self._running):
            if not program.is_running():
                self._collect(outcome, program)
        while len(self._running) < at_once:
            outcome = "fails" if self._started % 3 == 2 else "succeeds"
            self._running.append((outcome, self._start(outcome)))
            self._started += 1

    def kill_one_that_holds(self) -> None:
        program = self._start("hangs")
        program.wait_for("enters")
        program.kill()
        killed_at = time.monotonic()
        ((name, since),) = (line.split() for line in program.lines("enters"))
        self.spans[name].append((float(since), killed_at))

    def end(self) -> int:
        """Waits for all. Returns how many flows there were."""
        for outcome, program in list(self._running):
            wait_until(lambda program=program: not program.is_running(), "a flow ends", 120)
            self._collect(outcome, program)
        return self._started

    def _start(self, outcome: str) -> Program:
        return self._user.start(str(PROGRAMS / "busy.py"), outcome, *self._names)

    def _collect(self, outcome: str, program: Program) -> None:
        self._running.remove((outcome, program))
        # A flow that was meant to fail has done everything before.
        program.finish(exit_code=1 if outcome == "fails" else 0, clean=False)
        assert (outcome == "fails") == ("as it should" in program.log), program.log
        entered = [line.split() for line in program.lines("enters")]
        left = [line.split() for line in program.lines("leaves")]
        for (name, since), (_, until) in zip(entered, left, strict=True):
            self.spans[name].append((float(since), float(until)))
        ((_, asked),) = (line.split() for line in program.lines("asks"))
        ((_, passed),) = (line.split() for line in program.lines("passes"))
        self.passes.append((float(asked), float(passed)))


def rate_breaches(passes: list[tuple[float, float]], slots: int, per_second: float) -> list[str]:
    """A slot is granted between the question and its answer. So the grants that were asked for and
    answered within a span of time are at most the slots and what drains in it."""
    breaches = []
    for since, _ in passes:
        inside = sorted(answered for asked, answered in passes if asked >= since)
        for count, until in enumerate(inside, start=1):
            if count > slots + per_second * (until - since) + 1e-6:
                breaches.append(f"{count} slots in {until - since:.3f} s")
    return breaches


def test_a_rate_that_is_too_high_is_found() -> None:
    in_turn = [(number / 10, number / 10) for number in range(40)]
    assert rate_breaches(in_turn, 1, 10.0) == []
    assert rate_breaches(in_turn, 1, 9.0)
    late = [(number / 10, 9.0) for number in range(40)]
    assert rate_breaches(late, 1, 10.0) == []


def runs_of(gateway: LeaseholdServer, found: str, count: int) -> list[str]:
    path = f"/deployments/{found}/create_flow_run"
    made = [gateway.request("POST", path, {}) for _ in range(count)]
    assert all(answer.is_success for answer in made), [answer.text for answer in made]
    return [answer.json()["id"] for answer in made]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_flows_keep_to_every_limit_while_limits_move_under_load(
    upstream_of: StartUpstream,
    start_gateway: StartGateway,
    make_user: MakeUser,
    pytestconfig: pytest.Config,
) -> None:
    rounds = ROUNDS if pytestconfig.getoption("whole") else ROUNDS_IN_CI
    # Its SQLite refuses flows by itself when some run at once.
    gateway = start_gateway(upstream_of(NEWEST))
    user = make_user(gateway, PREFECT_LOGGING_LEVEL="WARNING")
    suffix = uuid.uuid4().hex[:8]
    tag, limit, rate = f"tag-{suffix}", f"limit-{suffix}", f"rate-{suffix}"
    gateway.create_tag_limit(tag, TAG_SLOTS)
    gateway.create_limit(limit, LIMIT_SLOTS)
    gateway.create_limit(rate, RATE, slot_decay_per_second=float(RATE))
    names = [f"tag:{tag}", limit, rate]
    served = serve(user, suffix, DEPLOYMENT_SLOTS)
    wait_until(lambda: deployment(gateway, suffix), "the deployment is there")
    found = deployment(gateway, suffix)
    assert found is not None
    runs = runs_of(gateway, found, DEPLOYMENT_SLOTS + 1)

    flows = Flows(user, tag, limit, rate)
    observer = Observer({rate: 0})
    moves = []
    with Load(lambda: gateway.api_url, observer) as load:
        for _ in range(3):
            load.with_rate(rate)
        for number in range(rounds):
            flows.keep_running(FLOWS_AT_ONCE)
            time.sleep(random.uniform(0.5, 2.0))
            moves.append(move_until_moved(gateway, "advance", names))
            if number % 6 == 0:
                flows.kill_one_that_holds()
                runs += runs_of(gateway, found, 1)
            gateway.kill()
            gateway.start()
            flows.keep_running(FLOWS_AT_ONCE)
            time.sleep(random.uniform(0.5, 2.0))
            moves.append(move_until_moved(gateway, "rollback", names))
        count = flows.end()
    over = [wait_until(lambda run=run: ended(gateway, run), "a run ends", 120) for run in runs]
    served.kill()

    spans = {**flows.spans, "deployment": [run_span(run) for run in over]}
    report = {
        "flows": count,
        "runs of the deployment": len(over),
        "most holders at once": {name: most_at_once(held) for name, held in spans.items()},
        "slots of the rate": len(observer.passes) + len(flows.passes),
        "failures": observer.failures,
        "longest move in seconds": round(max(moves), 3),
    }
    print(json.dumps(report, indent=2))
    assert [run["state_name"] for run in over] == ["Completed"] * len(over)
    assert not observer.failures, report
    assert most_at_once(spans[f"tag:{tag}"]) <= TAG_SLOTS
    assert most_at_once(spans[limit]) <= LIMIT_SLOTS
    assert most_at_once(spans["deployment"]) <= DEPLOYMENT_SLOTS
    passes = observer.passes + flows.passes
    assert len(passes) > RATE, report
    assert not (breaches := rate_breaches(passes, RATE, RATE)), breaches[:5]


def run_span(run: dict[str, Any]) -> tuple[float, float]:
    return seconds(run["start_time"]), seconds(run["end_time"])
