"""Limits of tags, by the tag API and its context managers.

Tests of task runs with tags are elsewhere: such runs need more of a server than its limits.
"""

from __future__ import annotations

from leasehold_server import LeaseholdServer
from prefect_user import PrefectUser, some_id


def test_a_task_run_holds_a_slot_on_each_of_its_tags(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_tag_limit("database", 1)
    server.create_tag_limit("gpu", 2)
    run = some_id()
    holder = user.start("hold_tag.py", flavour, run, "forever", "database", "gpu", "unlimited")
    holder.wait_for("acquired")
    assert server.tag_holders("database") == server.tag_holders("gpu") == [run]
    assert server.active_slots("tag:gpu") == 1
    holder.let_go()
    holder.finish()
    assert server.tag_holders("database") == server.tag_holders("gpu") == []
    assert server.active_slots("tag:gpu") == 0


def test_a_full_tag_is_waited_for_until_the_timeout(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_tag_limit("database", 1)
    run = some_id()
    holder = user.start("hold_tag.py", flavour, run, "forever", "database")
    holder.wait_for("acquired")
    program = user.run("hold_tag.py", flavour, some_id(), 0.5, "database", exit_code=3)
    assert "refused AcquireConcurrencySlotTimeoutError: " in program.output
    assert server.tag_holders("database") == [run]
    holder.let_go()
    holder.finish()


def test_a_tag_whose_limit_is_0_aborts_instead_of_waiting(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_tag_limit("database", 0)
    program = user.run("hold_tag.py", flavour, some_id(), "forever", "database", exit_code=3)
    assert program.lines("because") == [
        'ConcurrencySlotAcquisitionServiceError: The concurrency limit on tag "database" '
        "is 0 and will deadlock if the task tries to run again."
    ]


def test_c2_a_reset_frees_the_slots_of_a_tag_whose_holder_was_killed(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_tag_limit("database", 1)
    run = some_id()
    holder = user.start("hold_tag.py", flavour, run, "forever", "database")
    holder.wait_for("acquired")
    holder.kill()
    assert server.tag_holders("database") == [run]
    user.prefect("concurrency-limit", "reset", "database")
    user.run("hold_tag.py", flavour, some_id(), 60, "database")
    assert server.tag_holders("database") == []
