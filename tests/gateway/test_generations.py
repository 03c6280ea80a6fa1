"""Limits of Prefect servers of every generation move, with clients of their time and newer.

`cargo xtask test gateway --whole` runs all pairs of a server and a client. CI runs one old server,
and the client of Prefect 2.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import NEWEST, MakeUser, StartGateway, StartUpstream
from leasehold_commands import LeaseholdCommands
from leasehold_server import LeaseholdServer
from moving import LIMITS, TAGS, advance, move, phase, roll_back, status
from prefect_server import PrefectServer, python_with
from prefect_user import PrefectUser, Program
from waiting import wait_until

VERSION_2 = "2.20.26"
TAGGED = Path(__file__).parent / "programs" / "tagged.py"

GLOBAL_LIMITS = [
    (NEWEST, NEWEST),
    (NEWEST, "3.4.10"),
    (NEWEST, "3.1.15"),
    ("3.8.8", "3.8.8"),
    ("3.8.8", NEWEST),
    ("3.4.10", "3.4.10"),
    ("3.4.10", NEWEST),
    ("3.1.15", "3.1.15"),
]
"""Servers and clients. The client 3.9.1 needs leases, which the server 3.1.15 does not have."""

TAG_LIMITS = [
    (NEWEST, NEWEST),
    (NEWEST, "3.4.10"),
    (NEWEST, "3.1.15"),
    (NEWEST, VERSION_2),
    ("3.8.8", "3.8.8"),
    ("3.8.8", NEWEST),
    ("3.4.10", "3.4.10"),
    ("3.4.10", VERSION_2),
    ("3.1.15", "3.1.15"),
]
"""Servers before 3.4.19 limit no tags of newer clients."""

SHORT = {(NEWEST, VERSION_2), ("3.4.10", "3.4.10")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives each test its pairs: all of them, or the short form."""
    pairs = {"of_limits": GLOBAL_LIMITS, "of_tags": TAG_LIMITS}
    for argument, all_pairs in pairs.items():
        if argument in metafunc.fixturenames:
            is_whole = metafunc.config.getoption("whole")
            wanted = [pair for pair in all_pairs if is_whole or pair in SHORT]
            ids = [f"{client}-at-{server}" for server, client in wanted]
            metafunc.parametrize(argument, wanted, ids=ids)


class Pair:
    """A Prefect server of one version behind Leasehold, and users with a client of another."""

    def __init__(
        self,
        upstream: PrefectServer,
        gateway: LeaseholdServer,
        make: Callable[[], PrefectUser],
        has_leases: bool,
    ):
        self.upstream = upstream
        self.gateway = gateway
        self._make = make
        self.name = f"limit-{uuid.uuid4().hex[:8]}"
        self.has_leases = has_leases
        """Without leases, which slot a client gives back is not known: one that is taken here."""

    def user(self) -> PrefectUser:
        return self._make()

    def hold(self) -> Program:
        """A program that holds a slot of the global limit, or waits for one."""
        return self.user().start("hold.py", "sync", self.name)

    def is_refused(self) -> None:
        """A program that waits for a second finds no slot."""
        program = self.user().start("hold.py", "sync", self.name, "--timeout-seconds", "1")
        program.finish(exit_code=3)

    def tagged(self) -> Program:
        """A flow whose task holds a slot of the tag, or waits for one."""
        program = self.user().start(str(TAGGED), self.name)
        program.wait_for("began")
        return program

    def counts(self) -> tuple[int, int]:
        """What Prefect counts of the global limit, and what Leasehold shows."""
        there = self.upstream.limit(self.name)["active_slots"]
        return there, self.gateway.active_slots(self.name)

    def tag_count(self) -> int:
        """What Prefect counts of the tag. Newer servers name no holder of a lease that has none."""
        limit = self.upstream.request("GET", f"{LIMITS}/tag:{self.name}")
        return limit.json()["active_slots"] if limit.is_success else len(self.runs()[0])

    def runs(self) -> tuple[list[str], list[str]]:
        """The task runs that hold the tag, as Prefect lists them and as Leasehold does."""
        there = self.upstream.request("GET", f"{TAGS}/tag/{self.name}")
        assert there.is_success, there.text
        return sorted(there.json()["active_slots"]), sorted(self.gateway.tag_holders(self.name))

    def phase(self, tag: bool = False) -> str:
        return phase(self.gateway, f"tag:{self.name}" if tag else self.name)


MakePair = Callable[[tuple[str, str]], Pair]


@pytest.fixture
def pair_of(
    upstream_of: StartUpstream, start_gateway: StartGateway, make_user: MakeUser
) -> MakePair:
    def make(versions: tuple[str, str]) -> Pair:
        server, client = versions
        upstream = upstream_of(server)
        gateway = start_gateway(upstream)
        python = python_with(client)
        user = lambda: make_user(gateway, python, PREFECT_LOGGING_LEVEL="DEBUG")  # noqa: E731
        return Pair(upstream, gateway, user, has_leases="3.1.15" not in versions)

    return make


def run_of(program: Program) -> str:
    """The task run that holds the tag."""
    program.wait_for("holding")
    return program.lines("task-run")[0]


def let_go(program: Program) -> None:
    program.let_go()
    program.finish(clean=False)


def one_after_the_other(*programs: Program) -> bool:
    """Whether each began to hold after the one before had ended."""
    spans = [(float(it.lines("holding")[0]), float(it.lines("ending")[0])) for it in programs]
    return all(first[1] <= second[0] for first, second in zip(spans, spans[1:], strict=False))


def test_a_global_limit_moves_and_comes_back_while_it_is_held(
    pair_of: MakePair, of_limits: tuple[str, str], tmp_path: Path
) -> None:
    pair = pair_of(of_limits)
    pair.gateway.create_limit(pair.name, 2)
    before = pair.hold()
    before.wait_for("acquired")
    assert pair.counts() == (1, 1)
    advance(pair.gateway, pair.name)
    here = pair.hold()
    here.wait_for("acquired")
    limit = status(pair.gateway, pair.name)
    assert (limit["phase"], limit["taken"], limit["foreign"]) == ("draining", 2, 1)
    assert pair.counts() == (1, 2), "nothing is written there"
    said = LeaseholdCommands(pair.gateway.api_url, tmp_path).prefect(
        "why", pair.name, "--output", "json"
    )
    assert json.loads(said)
    pair.is_refused()
    let_go(before)
    wait_until(lambda: pair.gateway.active_slots(pair.name) == 1, "one slot is taken on both sides")
    if pair.has_leases:
        wait_until(lambda: pair.phase() == "leasehold", "nothing is foreign")
        assert pair.counts() == (0, 1)
    roll_back(pair.gateway, pair.name)
    assert pair.counts()[0] == 1
    there = pair.hold()
    there.wait_for("acquired")
    assert pair.counts()[0] == 2
    pair.is_refused()
    let_go(here)
    wait_until(lambda: pair.phase() == "upstream", "nothing is left here")
    wait_until(lambda: pair.counts() == (1, 1), "its slot is given back there")
    let_go(there)
    wait_until(lambda: pair.counts() == (0, 0), "all is given back")


def test_a_tag_moves_and_comes_back_while_it_is_held(
    pair_of: MakePair, of_tags: tuple[str, str]
) -> None:
    pair = pair_of(of_tags)
    tag = f"tag:{pair.name}"
    pair.gateway.create_tag_limit(pair.name, 1)
    before = pair.tagged()
    run = run_of(before)
    assert pair.runs() == ([run], [run])
    here = pair.tagged()
    advance(pair.gateway, tag)
    limit = status(pair.gateway, tag)
    assert (limit["phase"], limit["taken"], limit["foreign"]) == ("draining", 1, 1)
    let_go(before)
    run = run_of(here)
    wait_until(lambda: pair.phase(tag=True) == "leasehold", "nothing is foreign")
    assert pair.runs()[1] == [run]
    there = pair.tagged()
    roll_back(pair.gateway, tag)
    assert pair.tag_count() == 1, "it counts what is held here"
    let_go(here)
    run = run_of(there)
    wait_until(lambda: pair.phase(tag=True) == "upstream", "nothing is left here")
    wait_until(lambda: pair.runs() == ([run], [run]), "its slot is given back there")
    let_go(there)
    assert one_after_the_other(before, here, there)
    wait_until(lambda: pair.runs() == ([], []), "all is given back")


def waits(program: Program) -> None:
    """The client of Prefect 2 was told to wait."""
    wait_until(lambda: "Received wait instruction" in program.log, "the run has to wait")


@pytest.mark.whole
def test_a_task_run_of_version_2_waits_for_a_tag_of_ours(pair_of: MakePair) -> None:
    pair = pair_of((NEWEST, VERSION_2))
    pair.gateway.create_tag_limit(pair.name, 1)
    advance(pair.gateway, f"tag:{pair.name}")
    first = pair.tagged()
    run = run_of(first)
    assert pair.runs() == ([run], [run]), "it holds the tag on both sides"
    assert status(pair.gateway, f"tag:{pair.name}")["foreign"] == 0
    second = pair.tagged()
    waits(second)
    assert pair.runs() == ([run], [run])
    let_go(first)
    run_of(second)
    let_go(second)
    assert one_after_the_other(first, second)
    wait_until(lambda: pair.runs() == ([], []), "all is given back")


def test_a_killed_run_of_version_2_holds_its_tag_until_an_operator_ends_it(
    pair_of: MakePair,
) -> None:
    pair = pair_of((NEWEST, VERSION_2))
    pair.gateway.create_tag_limit(pair.name, 1)
    advance(pair.gateway, f"tag:{pair.name}")
    killed = pair.tagged()
    run = run_of(killed)
    killed.kill()
    other = pair.tagged()
    waits(other)
    assert pair.runs() == ([run], [run])
    body = {"state": {"type": "CRASHED", "name": "Crashed"}, "force": True}
    ended = pair.gateway.request("POST", f"/task_runs/{run}/set_state", body)
    assert ended.json()["status"] == "ACCEPT", ended.text
    next_run = run_of(other)
    assert pair.runs() == ([next_run], [next_run])
    let_go(other)
    wait_until(lambda: pair.runs() == ([], []), "all is given back")
    assert status(pair.gateway, f"tag:{pair.name}")["taken"] == 0


def test_a_task_run_that_prefect_rejects_gives_its_tag_back(pair_of: MakePair) -> None:
    pair = pair_of((NEWEST, VERSION_2))
    pair.gateway.create_tag_limit(pair.name, 1)
    advance(pair.gateway, f"tag:{pair.name}")
    headers = {"User-Agent": f"prefect/{VERSION_2} (API 0.8.4)"}

    def post(path: str, body: Any) -> Any:
        answer = pair.gateway.request("POST", path, body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    flow = post("/flows/", {"name": pair.name})["id"]
    over = {"type": "COMPLETED", "name": "Completed"}
    flow_run = post("/flow_runs/", {"flow_id": flow, "state": over})["id"]
    body = {"flow_run_id": flow_run, "task_key": "t", "dynamic_key": "0", "tags": [pair.name]}
    run = post("/task_runs/", body)["id"]
    running = {"state": {"type": "RUNNING", "name": "Running"}}
    assert post(f"/task_runs/{run}/set_state", running)["status"] == "ABORT"
    wait_until(lambda: pair.runs() == ([], []), "its slot is free on both sides")
    wait_until(lambda: status(pair.gateway, f"tag:{pair.name}")["taken"] == 0, "none is taken")


def test_a_list_of_task_runs_loses_its_phantoms_and_names_who_holds_the_tag(
    pair_of: MakePair,
) -> None:
    pair = pair_of(("3.4.10", "3.4.10"))
    tag = f"tag:{pair.name}"
    phantom, older, run = (str(uuid.uuid4()) for _ in range(3))

    def tags(server: PrefectServer | LeaseholdServer, how: str, run: str) -> int:
        body = {"names": [pair.name], "task_run_id": run}
        return server.request("POST", f"{TAGS}/{how}", body).status_code

    pair.gateway.create_tag_limit(pair.name, 2)
    assert tags(pair.upstream, "increment", phantom) == 200
    assert tags(pair.gateway, "increment", older) == 200
    assert status(pair.gateway, tag)["unseen_task_runs"] == [phantom]
    advance(pair.gateway, tag)
    assert tags(pair.gateway, "increment", run) == 423
    (dropped,) = move(pair.gateway, "drop-phantoms", tag, force=True)
    assert dropped["dropped"] == 1
    assert tags(pair.gateway, "increment", run) == 200
    pair.gateway.kill()
    pair.gateway.start()
    assert tags(pair.gateway, "increment", str(uuid.uuid4())) == 423
    assert pair.runs()[0] == sorted([phantom, older]), "nothing is written there"
    assert tags(pair.gateway, "decrement", older) == 200
    wait_until(lambda: status(pair.gateway, tag)["taken"] == 1, "a slot is free")
    roll_back(pair.gateway, tag)
    assert pair.runs()[0] == [run]
    assert tags(pair.gateway, "decrement", run) == 200
    wait_until(lambda: pair.runs() == ([], []), "all is given back")


@pytest.mark.whole
@pytest.mark.parametrize("version", [NEWEST, "3.4.10"])
def test_a_restart_of_both_servers_loses_no_slot(pair_of: MakePair, version: str) -> None:
    pair = pair_of((version, version))
    pair.gateway.create_limit(pair.name, 2)
    before = pair.hold()
    before.wait_for("acquired")
    advance(pair.gateway, pair.name)
    here = pair.hold()
    here.wait_for("acquired")
    pair.gateway.kill()
    pair.upstream.stop()
    pair.upstream.start()
    pair.gateway.start()
    assert (pair.phase(), pair.counts()) == ("draining", (1, 2))
    pair.is_refused()
    roll_back(pair.gateway, pair.name)
    assert pair.counts()[0] == 2
    pair.upstream.stop()
    pair.gateway.kill()
    pair.upstream.start()
    pair.gateway.start()
    wait_until(lambda: pair.phase() == "returning", "the limits are read")
    let_go(here)
    wait_until(lambda: pair.upstream.limit(pair.name)["active_slots"] == 1, "it is given back")
    let_go(before)
    wait_until(lambda: pair.counts() == (0, 0), "all is given back")
