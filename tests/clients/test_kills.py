"""Clients that are killed with -9 at the worst moments: no slot stays lost to them, and no living
client loses a slot."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from conftest import MakeUser, StartServer
from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, PrefectUser, Program, needs_leases, some_id
from waiting import wait_until
from wire import Catch, Wire

LEASE_SECONDS = 2.0
LIVING_LEASE_SECONDS = 12.0
"""Its client renews three seconds before the deadline, which a loaded machine may need."""

USES_LEASES_FOR_TAGS = CLIENT_VERSION >= (3, 8)
HAS_LINES = CLIENT_VERSION >= (3,)
"""The server tells older clients when to come back, and holds none of their requests open."""

needs_tags_without_deadline = pytest.mark.skipif(
    USES_LEASES_FOR_TAGS, reason="this version's leases have a deadline"
)

if HAS_LINES:
    TAKES_TAG = r"POST /api/concurrency_limits/increment "
    GIVES_TAG_BACK = r"POST /api/concurrency_limits/decrement "
else:
    TAKES_TAG = r'POST /api/task_runs/[^ ]+/set_state .*"type": ?"RUNNING"'
    GIVES_TAG_BACK = r'POST /api/task_runs/[^ ]+/set_state .*"type": ?"COMPLETED"'


@pytest.fixture
def server(start_server: StartServer) -> LeaseholdServer:
    return start_server("--lease-seconds-min", "1", "--tag-wait-seconds", "1")


@pytest.fixture
def user(server: LeaseholdServer, make_user: MakeUser) -> PrefectUser:
    return make_user(server)


@pytest.fixture
def wire(server: LeaseholdServer) -> Iterator[Wire]:
    wire = Wire(server.api_url)
    yield wire
    wire.cut()


@pytest.fixture
def victim(server: LeaseholdServer, make_user: MakeUser, wire: Wire) -> PrefectUser:
    """A user whose programs reach the server over the wire."""
    return make_user(server, PREFECT_API_URL=wire.api_url)


MOMENTS = ["acquire-sent", "acquire-answered", "release-sent", "release-lost", "release-answered"]


def kill_at(
    moment: str, wire: Wire, takes: str, gives_back: str, start: Callable[[], Program], word: str
) -> Program:
    """Starts a program, and kills it at this moment of its acquire or its release."""
    what, how = moment.split("-")
    pattern = takes if what == "acquire" else gives_back

    def catch() -> Catch:
        return wire.catch_answer(pattern) if how == "answered" else wire.catch_request(pattern)

    if what == "acquire":
        caught = catch()
        program = start()
    else:
        program = start()
        program.wait_for(word, within_seconds=120)
        caught = catch()
        program.let_go()
    caught.wait()
    program.kill()
    if how == "lost":
        caught.lose()
    else:
        caught.deliver()
    return program


@needs_leases
@pytest.mark.parametrize("moment", MOMENTS)
def test_d08_the_slot_of_a_client_that_is_killed_is_back_by_its_deadline(
    server: LeaseholdServer, user: PrefectUser, victim: PrefectUser, wire: Wire, moment: str
) -> None:
    server.create_limit("database", 2)
    hold = ("hold.py", "sync", "database", "--lease-duration")
    living = user.start(*hold, LIVING_LEASE_SECONDS)
    living.wait_for("acquired", within_seconds=120)
    (lease,) = server.leases("database")

    kill_at(
        moment,
        wire,
        r"POST /api/v2/concurrency_limits/increment-with-lease ",
        r"POST /api/v2/concurrency_limits/decrement-with-lease ",
        lambda: victim.start(*hold, LEASE_SECONDS),
        "acquired",
    )
    wait_until(
        lambda: [held["id"] for held in server.leases("database")] == [lease["id"]],
        "nobody holds a slot but who lives",
    )
    passed = server.deadline("database")
    wait_until(lambda: server.deadline("database") > passed, "who lives has renewed its lease")
    user.run("hold.py", "sync", "database", "--strict", "--max-retries", 0)
    living.let_go()
    living.finish()
    assert server.active_slots("database") == 0


@needs_tags_without_deadline
@pytest.mark.parametrize("moment", MOMENTS)
def test_d07_d15_the_tag_of_a_flow_that_is_killed_is_back_on_evidence(
    server: LeaseholdServer, user: PrefectUser, victim: PrefectUser, wire: Wire, moment: str
) -> None:
    server.create_tag_limit("database", 2)
    living = user.start("runs.py", "hold")
    living.wait_for("holding", within_seconds=120)
    (holder,) = server.tag_holders("database")

    killed = kill_at(
        moment,
        wire,
        TAKES_TAG,
        GIVES_TAG_BACK,
        lambda: victim.start("runs.py", "hold"),
        "holding",
    )
    (flow_run,) = killed.lines("flow-run")
    user.run("watch.py", "crashed", flow_run, clean=False)
    wait_until(
        lambda: server.tag_holders("database") == [holder],
        "nobody holds the tag but who lives",
    )
    again = user.start("runs.py", "hold")
    again.wait_for("holding", within_seconds=120)
    assert len(server.tag_holders("database")) == 2
    for program in (again, living):
        program.let_go()
        program.finish(clean=False, within_seconds=120)
        assert program.lines("result") == ["let go"]
    assert server.tag_holders("database") == []


@needs_tags_without_deadline
@pytest.mark.skipif(not HAS_LINES, reason="this version has its task runs recorded first")
def test_d07_a_client_that_is_killed_before_it_has_told_of_its_task_run_holds_no_tag(
    server: LeaseholdServer, user: PrefectUser, victim: PrefectUser, wire: Wire
) -> None:
    server.create_tag_limit("database", 1)
    events = wire.catch_request(r"GET /api/events/in ")
    asks = wire.catch_request(TAKES_TAG)
    answer = wire.catch_answer(TAKES_TAG)
    killed = victim.start("runs.py", "hold")
    events.wait()
    asks.wait()
    asks.pass_on()
    assert not answer.holds_something(within_seconds=1)
    killed.kill()
    events.deliver()
    living = user.start("runs.py", "hold")
    living.wait_for("holding", within_seconds=120)
    assert len(server.tag_holders("database")) == 1
    living.let_go()
    living.finish(clean=False, within_seconds=120)


@pytest.mark.skipif(not HAS_LINES, reason="this version is told when to come back")
@pytest.mark.parametrize("name", ["database", "tag:database"])
def test_d08_a_client_that_is_killed_while_it_waits_in_line_is_granted_nothing(
    server: LeaseholdServer, user: PrefectUser, name: str
) -> None:
    server.create_limit(name, 1)
    living = start(user, name)
    living.wait_for("acquired", within_seconds=120)
    killed = start(user, name)
    wait_until(lambda: len(waiters(server, name)) == 1, "it waits in line", within_seconds=120)
    killed.kill()
    wait_until(lambda: not waiters(server, name), "it has left the line")
    living.let_go()
    living.finish(clean=False)
    assert server.active_slots(name) == 0

    def reasons() -> list[str]:
        left = server.request("GET", "/leasehold/events", params={"kind": "waiter.left"}).json()
        return [event["reason"] for event in left["events"]]

    wait_until(reasons, "the log tells why")
    assert reasons() == ["its client hung up"]


def start(user: PrefectUser, name: str) -> Program:
    """Takes a slot of a limit, or of a tag for a task run of its own."""
    if name.startswith("tag:"):
        tag = name.removeprefix("tag:")
        return user.start("hold_tag.py", "sync", some_id(), "forever", tag)
    return user.start("hold.py", "sync", name)


def waiters(server: LeaseholdServer, name: str) -> list[dict]:
    return server.request("GET", f"/v2/concurrency_limits/{name}/waiters").json()
