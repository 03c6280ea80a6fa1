"""Authentication and CSRF protection, with the real client."""

from __future__ import annotations

import pytest

from conftest import MakeUser, StartServer
from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION

CREDENTIALS = "admin:correct horse"


def test_csrf_protection_is_passed_unnoticed(
    start_server: StartServer, make_user: MakeUser, flavour: str
) -> None:
    server = start_server(PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED="true")
    user = make_user(server)
    body = {"name": "database", "limit": 1}
    response = server.request("POST", "/v2/concurrency_limits/", body)
    assert (response.status_code, response.json()) == (403, {"detail": "Missing CSRF token."})

    user.prefect("gcl", "create", "database", "--limit", "2")
    user.run("hold.py", flavour, "database", "--strict")
    with user.session(flavour) as client:
        client.create_concurrency_limit(tag="gpu", concurrency_limit=1)
        client.increment_concurrency_slots(names=["database"], slots=1, mode="concurrency")
        client.reset_concurrency_limit_by_tag(tag="gpu")
    assert server.active_slots("database") == 1


@pytest.fixture
def guarded_server(start_server: StartServer) -> LeaseholdServer:
    return start_server(PREFECT_SERVER_API_AUTH_STRING=CREDENTIALS)


def test_the_right_credentials_open_everything(
    guarded_server: LeaseholdServer, make_user: MakeUser, flavour: str
) -> None:
    user = make_user(guarded_server, PREFECT_API_AUTH_STRING=CREDENTIALS)
    user.prefect("gcl", "create", "database", "--limit", "2")
    # Versions before 3.8 send events without credentials, and log that the server refuses them.
    program = user.run("hold.py", flavour, "database", "--strict", clean=CLIENT_VERSION >= (3, 8))
    assert "released" in program.output
    with user.session(flavour) as client:
        limit = client.read_global_concurrency_limit_by_name(name="database")
    assert limit["active_slots"] == 0


@pytest.mark.parametrize("settings", [{}, {"PREFECT_API_AUTH_STRING": "admin:wrong"}])
def test_wrong_credentials_open_nothing(
    guarded_server: LeaseholdServer, make_user: MakeUser, settings: dict[str, str]
) -> None:
    user = make_user(guarded_server, **settings)
    program = user.run("hold.py", "sync", "database", exit_code=3)
    assert "401 Unauthorized" in program.output
    response = guarded_server.request("GET", "/v2/concurrency_limits/database")
    assert (response.status_code, response.json()) == (401, {"exception_message": "Unauthorized"})
