"""`rate_limit`, in both flavours: limits whose slots drain by themselves."""

from __future__ import annotations

from leasehold_server import LeaseholdServer
from prefect_user import PrefectUser, Program


def times_between(program: Program) -> list[tuple[float, float]]:
    """For each passage, the moments between which the server granted it."""
    lines = map(str.split, program.lines("passed"))
    return [(float(since), float(until)) for since, until in lines]


def test_calls_pass_at_the_rate_of_the_decay_after_the_first_burst(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    burst, rate, times = 2, 4.0, 8
    server.create_limit("api", burst, slot_decay_per_second=rate)
    program = user.run("rate.py", flavour, "api", "--times", times, "--strict")
    passed = times_between(program)
    assert len(passed) == times
    for earlier in range(times):
        for later in range(earlier, times):
            least = (later - earlier + 1 - burst) / rate
            (since, _), (_, until) = passed[earlier], passed[later]
            assert until - since >= least, passed


def test_a_call_of_several_slots_waits_until_as_many_have_drained(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("api", 4, slot_decay_per_second=4.0)
    program = user.run("rate.py", flavour, "api", "--times", 2, "--occupy", 4)
    (since, _), (_, until) = times_between(program)
    assert until - since >= 1.0


def test_waiting_for_a_rate_ends_with_the_timeout(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("api", 1, slot_decay_per_second=0.01)
    program = user.run(
        "rate.py", flavour, "api", "--times", 2, "--timeout-seconds", 5, exit_code=3
    )
    assert len(program.lines("passed")) == 1
    assert "refused AcquireConcurrencySlotTimeoutError: " in program.output


def test_a_limit_without_decay_limits_no_rate(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("database", 2)
    program = user.run("rate.py", flavour, "database", exit_code=3)
    assert "refused ConcurrencySlotAcquisitionError: " in program.output
    (cause,) = program.lines("because")
    assert "Only concurrency limits with slot decay can be used for rate limiting." in cause
    assert "The following limits do not have a decay configured: 'database'" in cause


def test_strict_fails_when_no_limit_has_the_name(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    program = user.run("rate.py", flavour, "nobody", "--strict", exit_code=3)
    assert "Concurrency limits ['nobody'] must be created before acquiring slots" in program.output
    assert user.run("rate.py", flavour, "nobody").lines("passed")


def test_a_slot_of_a_decaying_limit_drains_while_it_is_held(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    server.create_limit("api", 1, slot_decay_per_second=2.0)
    holder = user.start("hold.py", flavour, "api")
    holder.wait_for("acquired")
    # The server grants a second holder although the first has released nothing.
    other = user.start("hold.py", flavour, "api")
    other.wait_for("acquired")
    for program in (holder, other):
        program.let_go()
        program.finish()
    assert server.active_slots("api") <= 1
