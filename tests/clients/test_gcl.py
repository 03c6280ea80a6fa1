"""`prefect gcl`, and `leasehold gcl` in its place: the command line of global limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import MakeUser
from leasehold_commands import PROGRAMS, LeaseholdCommands
from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, PrefectUser

LS_KNOWS_JSON = CLIENT_VERSION >= (3, 8)


@pytest.fixture(params=PROGRAMS)
def user(
    request: pytest.FixtureRequest, server: LeaseholdServer, make_user: MakeUser, tmp_path: Path
) -> PrefectUser | LeaseholdCommands:
    """Prefect's command, and ours in its place."""
    if request.param == "leasehold":
        return LeaseholdCommands(server.api_url, tmp_path)
    return make_user(server)


def inspect(user: PrefectUser, name: str) -> dict:
    return json.loads(user.prefect("gcl", "inspect", name, "--output", "json"))


def test_a_limit_is_created_changed_and_deleted(server: LeaseholdServer, user: PrefectUser) -> None:
    output = user.prefect("gcl", "create", "database", "--limit", "5")
    created = server.limit("database")
    assert "Created global concurrency limit with name 'database'" in output
    assert created["id"] in output

    assert inspect(user, "database") == inspect(user, created["id"]) | {"name": "database"}
    assert inspect(user, "database")["limit"] == 5

    user.prefect("gcl", "update", "database", "--limit", "7")
    # Together with other fields, the number of taken slots is an old reading and takes none.
    user.prefect(
        "gcl", "update", "database", "--active-slots", "3", "--slot-decay-per-second", "0.001"
    )
    assert server.limit("database")["active_slots"] == 0
    user.prefect("gcl", "update", "database", "--active-slots", "3")
    changed = server.limit("database")
    assert (changed["limit"], changed["active_slots"]) == (7, 3)
    assert changed["slot_decay_per_second"] == 0.001

    user.prefect("gcl", "update", "database", "--disable", "--limit", "8")
    assert server.limit("database") | {"active": False, "limit": 8} == server.limit("database")
    user.prefect("gcl", "update", "database", "--enable")
    assert server.limit("database")["active"]

    assert "Deleted" in user.prefect("gcl", "delete", "database")
    assert server.request("GET", "/v2/concurrency_limits/database").status_code == 404


def test_a_limit_is_created_with_all_its_options(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    options = ["--limit", "5", "--disable", "--active-slots", "2"]
    user.prefect("gcl", "create", "my api", *options, "--slot-decay-per-second", "0.5")
    limit = server.limit("my%20api")
    assert (limit["name"], limit["limit"], limit["active"]) == ("my api", 5, False)
    # An inactive limit drains too.
    assert limit["active_slots"] in (0, 1, 2)
    assert limit["slot_decay_per_second"] == 0.5
    assert inspect(user, "my api")["id"] == limit["id"]


def test_a_limit_is_enabled_and_disabled_once(server: LeaseholdServer, user: PrefectUser) -> None:
    server.create_limit("database", 1)
    assert "already enabled" in user.prefect("gcl", "enable", "database", exit_code=1)
    assert "Disabled" in user.prefect("gcl", "disable", "database")
    assert not server.limit("database")["active"]
    assert "already disabled" in user.prefect("gcl", "disable", "database", exit_code=1)
    assert "Enabled" in user.prefect("gcl", "enable", "database")
    assert server.limit("database")["active"]


def test_limits_are_listed_and_shown(
    server: LeaseholdServer, user: PrefectUser, tmp_path: Path
) -> None:
    assert "No global concurrency limits found." in user.prefect("gcl", "ls")
    server.create_limit("database", 5, active_slots=2)
    server.create_limit("api", 3, slot_decay_per_second=0.5)
    database, api = server.limit("database"), server.limit("api")

    table = user.prefect("gcl", "ls")
    for words in (["api", "True", "3"], ["database", "True", "5", "2"]):
        assert any(all(word in line for word in words) for line in table.splitlines()), table
    assert table.index("api") < table.index("database")
    if LS_KNOWS_JSON:
        listed = json.loads(user.prefect("gcl", "ls", "--output", "json"))
        assert [limit["name"] for limit in listed] == ["api", "database"]
        assert [limit["id"] for limit in listed] == [api["id"], database["id"]]

    shown = user.prefect("gcl", "inspect", "database")
    assert database["id"] in shown and "active_slots=2" in shown
    path = tmp_path / "limit.json"
    user.prefect("gcl", "inspect", "database", "--output", "json", "--file", str(path))
    assert json.loads(path.read_text())["id"] == database["id"]


def test_an_unknown_limit_is_not_found(server: LeaseholdServer, user: PrefectUser) -> None:
    for command in (["inspect"], ["update", "--limit", "1"], ["enable"], ["disable"], ["delete"]):
        output = user.prefect("gcl", *command[:1], "nobody", *command[1:], exit_code=1)
        assert "Global concurrency limit 'nobody' not found." in output


def test_what_cannot_be_created_is_refused_in_words(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    server.create_limit("database", 1)
    output = user.prefect("gcl", "create", "database", "--limit", "2", exit_code=1)
    assert "Global concurrency limit 'database' already exists." in output
    for name in ("a/b", "a%b", "a&b"):
        assert user.prefect("gcl", "create", name, "--limit", "2", exit_code=1)
    user.prefect("gcl", "create", "negative", "--limit", "-1", exit_code=1)
    user.prefect("gcl", "update", "database", "--limit", "-1", exit_code=1)
    output = user.prefect("gcl", "update", "database", exit_code=1)
    assert "No update arguments provided." in output
    assert [limit["name"] for limit in all_limits(server)] == ["database"]


def all_limits(server: LeaseholdServer) -> list[dict]:
    return server.request("POST", "/v2/concurrency_limits/filter").json()
