"""Servers succeed each other while flows run: no flow notices.

`LEASEHOLD_RESTARTS=50 cargo xtask test clients -- -k takeover` is the long form.
"""

from __future__ import annotations

import os

import pytest

from leasehold_server import LeaseholdServer
from prefect_user import HAS_LEASES, PrefectUser, Program
from waiting import wait_until

RESTARTS = int(os.environ.get("LEASEHOLD_RESTARTS", "6"))
AT_ONCE = 3
"""Programs that run at the same time. Each takes seconds of a core."""


def bytes_written(programs: list[Program]) -> int:
    return sum(len(program.output) + len(program.log) for program in programs)


def wait_until_one_writes(programs: list[Program]) -> None:
    before = bytes_written(programs)
    wait_until(lambda: bytes_written(programs) > before, "a program writes something")


@pytest.mark.restarts
def test_no_flow_fails_while_servers_succeed_each_other(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_limit("database", 2)
    server.create_tag_limit("database", 2)
    kinds = [("runs.py", "tagged"), ("runs.py", "subflows")]
    if HAS_LEASES:
        kinds.append(("contend.py", "sync", "database", 1, 4))
    started = 0
    running: list[Program] = []
    for _ in range(RESTARTS):
        while len(running) < AT_ONCE:
            running.append(user.start(*kinds[started % len(kinds)]))
            started += 1
        wait_until_one_writes(running)
        server.hand_over()
        for program in [program for program in running if not program.is_running()]:
            program.finish(clean=False)
            running.remove(program)
    for program in running:
        program.finish(clean=False, within_seconds=90)
    wait_until(lambda: server.active_slots("database") == 0, "every slot came back")
    assert server.tag_holders("database") == []
