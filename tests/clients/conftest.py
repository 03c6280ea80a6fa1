"""Fixtures: a server of the test's own, and a user of the installed version of the client."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leasehold_server import LeaseholdServer, ServerOfSomebodyElse
from prefect_user import CLIENT_VERSION, PrefectUser
from users import WHO_LOGS, MakeUser, make_user, pytest_runtest_makereport

__all__ = ["make_user", "pytest_runtest_makereport"]

StartServer = Callable[..., LeaseholdServer]


@pytest.fixture
def start_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartServer]:
    """Starts a server with options and environment variables. It must stop with success."""
    servers: list[LeaseholdServer] = []
    who_logs = request.node.stash.setdefault(WHO_LOGS, [])

    def start(*options: str, **environment: str) -> LeaseholdServer:
        directory = tmp_path / f"server-{len(servers)}"
        directory.mkdir()
        api_url = os.environ.get("LEASEHOLD_TEST_API_URL")
        if api_url and (environment or request.node.get_closest_marker("restarts")):
            pytest.skip("needs a server of its own, and LEASEHOLD_TEST_API_URL is set")
        if api_url:
            server: LeaseholdServer = ServerOfSomebodyElse(directory, api_url)
        else:
            server = LeaseholdServer(directory, list(options), environment)
        who_logs.append(server)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        if server.is_started():
            server.stop()


@pytest.fixture
def server(start_server: StartServer) -> LeaseholdServer:
    """A server with the defaults, except that leases may be as short as a second."""
    return start_server("--lease-seconds-min", "1")


@pytest.fixture
def user(server: LeaseholdServer, make_user: MakeUser) -> PrefectUser:
    """A user of `server`."""
    return make_user(server)


@pytest.fixture(params=["sync", "asyncio"])
def flavour(request: pytest.FixtureRequest) -> str:
    """The synchronous and the asynchronous flavour of the client."""
    return request.param


SUITES = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
LEFT_OUT: set[str] = set()
if CLIENT_VERSION < (3,):
    # This client uses tags only in its runs. It has neither leases nor the API of tags.
    LEFT_OUT = SUITES - {"flows", "cancellation", "evidence", "events", "kills", "takeover"}
elif CLIENT_VERSION < (3, 5) and CLIENT_VERSION >= (3, 4):
    # Its command line makes the same calls as that of 3.1.
    LEFT_OUT = {"gcl", "concurrency_limit"}
elif CLIENT_VERSION < (3, 9) and CLIENT_VERSION >= (3, 8):
    # Its code for limits is the same as in 3.9. Its engines and its events differ.
    LEFT_OUT = SUITES - {"flows", "events", "takeover"}

collect_ignore = [f"test_{suite}.py" for suite in LEFT_OUT]


def pytest_report_header() -> str:
    return f"prefect client {'.'.join(map(str, CLIENT_VERSION))}"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "restarts: the test stops or kills its server")
