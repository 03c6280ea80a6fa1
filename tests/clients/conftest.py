"""Fixtures: a server of the test's own, and a user of the installed version of the client."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leasehold_server import LeaseholdServer, ServerOfSomebodyElse
from prefect_user import CLIENT_VERSION, PrefectUser

WHO_LOGS = pytest.StashKey[list[LeaseholdServer | PrefectUser]]()

StartServer = Callable[..., LeaseholdServer]
MakeUser = Callable[..., PrefectUser]


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
def make_user(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeUser]:
    """Makes a user of a server, with Prefect settings in the environment."""
    users: list[PrefectUser] = []
    who_logs = request.node.stash.setdefault(WHO_LOGS, [])

    def make(server: LeaseholdServer, **settings: str) -> PrefectUser:
        directory = tmp_path / f"user-{len(users)}"
        directory.mkdir()
        user = PrefectUser(server.api_url, directory, settings)
        who_logs.append(user)
        users.append(user)
        return user

    yield make
    for user in users:
        user.end_programs()


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
    LEFT_OUT = SUITES - {"flows", "cancellation", "evidence", "events", "kills"}
elif CLIENT_VERSION < (3, 5) and CLIENT_VERSION >= (3, 4):
    # Its command line makes the same calls as that of 3.1.
    LEFT_OUT = {"gcl", "concurrency_limit"}
elif CLIENT_VERSION < (3, 9) and CLIENT_VERSION >= (3, 8):
    # Its code for limits is the same as in 3.9. Its engines and its events differ.
    LEFT_OUT = SUITES - {"flows", "events"}

collect_ignore = [f"test_{suite}.py" for suite in LEFT_OUT]


def pytest_report_header() -> str:
    return f"prefect client {'.'.join(map(str, CLIENT_VERSION))}"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "restarts: the test stops or kills its server")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Adds the server's log and the programs' output to the report of a failure."""
    report = yield
    if report.failed:
        for path in (path for who in item.stash.get(WHO_LOGS, []) for path in who.log_paths()):
            report.sections.append((f"{path.parent.name}/{path.name}", path.read_text()))
    return report
