"""Limits move while real clients use them."""

from __future__ import annotations

import time
import uuid

from leasehold_server import LeaseholdServer
from prefect_server import PrefectServer
from prefect_user import PrefectUser, Program
from test_moving import advance, phase, roll_back
from waiting import wait_until


def spans(programs: list[Program]) -> list[tuple[float, float]]:
    """When each client held its slot."""
    lines = [line.split() for program in programs for line in program.lines("held")]
    return [(float(since), float(until)) for since, until in lines]


def most_at_once(held: list[tuple[float, float]]) -> int:
    changes = sorted(
        [(since, 1) for since, _ in held] + [(until, -1) for _, until in held],
        # Who leaves at the same moment leaves first.
        key=lambda change: (change[0], change[1]),
    )
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def test_real_clients_keep_to_the_limit_while_it_moves(
    prefect: PrefectServer, gateway: LeaseholdServer, user: PrefectUser
) -> None:
    name = f"contended-{uuid.uuid4().hex[:8]}"
    gateway.create_limit(name, 2)
    programs = [user.start("contend.py", way, name, 1, 25) for way in ("sync", "async", "sync")]
    for program in programs:
        program.wait_for("held")
    advance(gateway, name)
    seen = len(spans(programs))
    wait_until(lambda: len(spans(programs)) > seen + 5, "they go on here")
    roll_back(gateway, name)
    seen = len(spans(programs))
    wait_until(lambda: len(spans(programs)) > seen + 5, "they go on at Prefect")
    advance(gateway, name)
    for program in programs:
        program.finish(within_seconds=120)
    held = spans(programs)
    assert len(held) == 75
    assert most_at_once(held) <= 2
    wait_until(lambda: gateway.active_slots(name) == 0, "all is given back")


def test_a_flow_and_its_tasks_keep_their_slots_across_the_moves(
    gateway: LeaseholdServer, user: PrefectUser
) -> None:
    name = f"held-{uuid.uuid4().hex[:8]}"
    gateway.create_limit(name, 1)
    before = user.start("hold.py", "sync", name)
    before.wait_for("acquired")
    advance(gateway, name)
    waiting = user.start("hold.py", "sync", name)
    time.sleep(1)
    assert not waiting.lines("acquired")
    before.let_go()
    before.finish()
    waiting.wait_for("acquired")
    roll_back(gateway, name)
    assert phase(gateway, name) == "returning"
    waiting.let_go()
    waiting.finish()
    wait_until(lambda: phase(gateway, name) == "upstream", "nothing is left here")
