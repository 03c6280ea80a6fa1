"""`prefect concurrency-limit`, and ours in its place: the command line of tags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import MakeUser
from leasehold_commands import PROGRAMS, LeaseholdCommands
from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, PrefectUser, some_id

KNOWS_JSON = CLIENT_VERSION >= (3, 8)
SAYS_WHEN_THERE_ARE_NONE = CLIENT_VERSION >= (3, 8)


@pytest.fixture(params=PROGRAMS)
def user(
    request: pytest.FixtureRequest, server: LeaseholdServer, make_user: MakeUser, tmp_path: Path
) -> PrefectUser | LeaseholdCommands:
    """Prefect's command, and ours in its place."""
    if request.param == "leasehold":
        return LeaseholdCommands(server.api_url, tmp_path)
    return make_user(server)


def test_a_tag_limit_is_created_changed_and_deleted(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    output = user.prefect("concurrency-limit", "create", "database", "5")
    assert "Created concurrency limit with properties:" in output
    created = server.request("GET", "/concurrency_limits/tag/database").json()
    assert created["concurrency_limit"] == 5
    user.prefect("concurrency-limit", "create", "database", "3")
    changed = server.request("GET", "/concurrency_limits/tag/database").json()
    assert (changed["id"], changed["concurrency_limit"]) == (created["id"], 3)
    output = user.prefect("concurrency-limit", "delete", "database")
    assert "Deleted concurrency limit set on the tag: database" in output
    assert server.request("GET", "/concurrency_limits/tag/database").status_code == 404


def test_tag_limits_are_listed_and_shown_with_their_holders(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    if SAYS_WHEN_THERE_ARE_NONE:
        assert "No concurrency limits found." in user.prefect("concurrency-limit", "ls")
    created = server.create_tag_limit("database", 5)
    server.create_tag_limit("gpu", 2)
    server.create_limit("not-a-tag", 9)
    runs = [some_id(), some_id()]
    for run in runs:
        take(server, "database", run)

    table = user.prefect("concurrency-limit", "ls")
    (row,) = (line for line in table.splitlines() if "database" in line)
    assert created["id"] in row and " 5 " in row and " 2 " in row
    assert "gpu" in table and "not-a-tag" not in table

    shown = user.prefect("concurrency-limit", "inspect", "database")
    assert created["id"] in shown
    assert all(run in shown for run in runs)
    if KNOWS_JSON:
        listed = json.loads(user.prefect("concurrency-limit", "ls", "--output", "json"))
        assert {limit["tag"] for limit in listed} == {"database", "gpu"}
        shown = json.loads(
            user.prefect("concurrency-limit", "inspect", "database", "--output", "json")
        )
        assert (shown["id"], sorted(shown["active_slots"])) == (created["id"], sorted(runs))


def test_c2_a_tag_limit_is_reset(server: LeaseholdServer, user: PrefectUser) -> None:
    server.create_tag_limit("database", 1)
    take(server, "database", some_id())
    output = user.prefect("concurrency-limit", "reset", "database")
    assert "Reset concurrency limit set on the tag: database" in output
    assert server.tag_holders("database") == []
    take(server, "database", some_id())


def test_c3_the_tags_are_listed_whatever_else_there_is(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    for number in range(20):
        server.create_limit(f"a-{number}", 1)
    server.create_tag_limit("database", 1)
    assert "database" in user.prefect("concurrency-limit", "ls", "--limit", "15")


def test_an_unknown_tag_is_not_found(server: LeaseholdServer, user: PrefectUser) -> None:
    for command in ("inspect", "reset", "delete"):
        output = user.prefect("concurrency-limit", command, "nobody", exit_code=1)
        assert "No concurrency limit found for the tag: nobody" in output


def take(server: LeaseholdServer, tag: str, run: str) -> None:
    body = {"names": [tag], "task_run_id": run}
    response = server.request("POST", "/concurrency_limits/increment", body)
    assert response.status_code == 200, response.text
