"""The `concurrency` context manager, in both flavours."""

from __future__ import annotations

import pytest

from leasehold_server import LeaseholdServer
from prefect_user import HAS_LEASES, PrefectUser
from waiting import wait_until


def test_a_slot_is_held_inside_the_block_and_free_after_it(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 2)
    program = user.start("hold.py", flavour, "database", "--strict")
    program.wait_for("acquired")
    assert server.active_slots("database") == 1
    program.let_go()
    program.finish()
    assert server.active_slots("database") == 0


def test_several_slots_on_two_limits_are_taken_together_or_not_at_all(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("cpu", 5)
    server.create_limit("memory", 4)
    holder = user.start("hold.py", flavour, "cpu", "memory", "--occupy", 3)
    holder.wait_for("acquired")
    assert (server.active_slots("cpu"), server.active_slots("memory")) == (3, 3)

    # There is room for two more on "cpu", but not on "memory".
    program = user.run(
        "hold.py", flavour, "cpu", "memory", "--occupy", 2, "--max-retries", 0, exit_code=3
    )
    assert "423" in program.output
    assert (server.active_slots("cpu"), server.active_slots("memory")) == (3, 3)

    holder.let_go()
    holder.finish()
    assert (server.active_slots("cpu"), server.active_slots("memory")) == (0, 0)


def test_a_try_lock_is_answered_at_once_however_often_it_is_repeated(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", "sync", "database")
    holder.wait_for("acquired")
    # If the server held one of them open, it alone would take 20 s. Each pause is far from three
    # times the one before, even on a machine that adds a tenth of a second to it. The unit tests
    # of `polling` try the short ones.
    pauses = (0.3, 0.3, 0.3, 0.3, 2, 2)
    # The client logs each refusal as an error.
    program = user.run("try_lock.py", "database", *pauses, clean=False)
    assert program.output.count("refused after") == 1 + len(pauses)
    assert "too long" not in program.output
    holder.let_go()
    holder.finish()


def test_waiting_ends_with_the_timeout_and_takes_nothing(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database")
    holder.wait_for("acquired")
    program = user.run("hold.py", flavour, "database", "--timeout-seconds", 0.5, exit_code=3)
    assert "refused AcquireConcurrencySlotTimeoutError: " in program.output
    assert "timed out after 0.5 second(s)" in program.output
    holder.let_go()
    holder.finish()
    assert server.active_slots("database") == 0


def test_a_waiter_gets_the_slot_that_its_holder_gives_back(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database")
    holder.wait_for("acquired")
    waiter = user.start("hold.py", flavour, "database", "--strict")
    waiter.let_go()
    holder.let_go()
    waiter.finish()
    assert "acquired" in waiter.output
    holder.finish()
    assert server.active_slots("database") == 0


@pytest.mark.parametrize(
    "flavour, occupy, limit", [("sync", 1, 2), ("asyncio", 2, 5)], indirect=["flavour"]
)
def test_contending_processes_never_hold_more_than_the_limit(
    server: LeaseholdServer, user: PrefectUser, flavour: str, occupy: int, limit: int
) -> None:
    processes, rounds = 3, 4
    server.create_limit("database", limit)
    programs = [
        user.start("contend.py", flavour, "database", occupy, rounds) for _ in range(processes)
    ]
    steps = []
    for program in programs:
        program.finish(within_seconds=60)
        for held in program.lines("held"):
            since, until = map(float, held.split())
            steps += [(since, occupy), (until, -occupy)]
    assert len(steps) == 2 * processes * rounds

    level = highest = 0
    for _, change in sorted(steps):
        level += change
        highest = max(highest, level)
    assert 0 < highest <= limit
    assert server.active_slots("database") == 0


def test_strict_fails_when_no_limit_has_the_name(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    program = user.run("hold.py", flavour, "nobody", "no-one", "--strict", exit_code=3)
    missing = "Concurrency limits ['nobody', 'no-one'] must be created before acquiring slots"
    assert missing in program.output


def test_without_strict_an_unknown_name_limits_nothing(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    program = user.run("hold.py", flavour, "nobody", clean=not HAS_LEASES)
    assert program.output.splitlines() == ["acquired", "released"]
    if HAS_LEASES:
        assert "Concurrency limits ['nobody'] do not exist - skipping acquisition." in program.log
    assert server.request("POST", "/v2/concurrency_limits/filter").json() == []


def test_of_known_and_unknown_names_the_known_are_held(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    program = user.start("hold.py", flavour, "nobody", "database", "--strict")
    program.wait_for("acquired")
    assert server.active_slots("database") == 1
    program.let_go()
    program.finish()
    assert server.active_slots("database") == 0


def test_an_inactive_limit_limits_nothing(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1, active=False)
    program = user.start("hold.py", flavour, "database", "--occupy", 3, "--strict")
    program.wait_for("acquired")
    assert server.active_slots("database") == 0
    program.let_go()
    program.finish()


def test_more_slots_than_the_limit_has_are_refused_at_once(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 2)
    program = user.run("hold.py", flavour, "database", "--occupy", 3, exit_code=3)
    assert "refused ConcurrencySlotAcquisitionError: " in program.output
    assert "422" in program.output
    assert "Slots requested is greater than the limit" in program.output


def test_a_limit_that_is_raised_lets_a_waiter_in(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 1)
    holder = user.start("hold.py", flavour, "database")
    holder.wait_for("acquired")
    waiter = user.start("hold.py", flavour, "database")
    server.request("PATCH", "/v2/concurrency_limits/database", {"limit": 2})
    waiter.wait_for("acquired")
    assert server.active_slots("database") == 2
    for program in (holder, waiter):
        program.let_go()
        program.finish()
    wait_until(lambda: server.active_slots("database") == 0, "both slots are free")
