"""Fixtures: real Prefect servers, Leasehold in front of one, and users with the real client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from leasehold_server import LeaseholdServer
from postgres_server import PostgresServer
from prefect_server import PrefectServer
from prefect_user import PrefectUser
from users import WHO_LOGS, MakeUser, make_user, pytest_runtest_makereport
from waiting import wait_until

__all__ = ["make_user", "pytest_runtest_makereport"]

StartPrefect = Callable[..., PrefectServer]
StartGateway = Callable[..., LeaseholdServer]
StartUpstream = Callable[[str], PrefectServer]

NEWEST = "3.9.1"
# The default storage forgets all leases in a restart, and never gives their slots back.
FILES = "prefect.server.concurrency.lease_storage.filesystem"
IN_FILES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": FILES}


class Gateway(LeaseholdServer):
    """Leasehold in front of a Prefect server."""

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Sends a request, and again as a client does if Prefect's SQLite was locked. Prefect's 503
        has no `Retry-After`; Leasehold's has one, and is not sent again."""
        send = super().request

        def answered() -> httpx.Response | None:
            response = send(method, path, body, **options)
            is_locked = response.status_code == 503 and "retry-after" not in response.headers
            return None if is_locked else response

        return wait_until(answered, "Prefect's database is not locked")

    def _is_healthy(self) -> bool:
        """Whatever becomes of the Prefect server: `/api/health` is that server's."""
        try:
            return httpx.get(self.api_url.removesuffix("/api") + "/ready", timeout=60).is_success
        except httpx.TransportError:
            return False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole", action="store_true", help="every generation of Prefect, for which CI has no time"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is marked for the whole form alone."""
    if config.getoption("whole"):
        return
    left_out = [item for item in items if item.get_closest_marker("whole")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """The Prefect server of all tests of a worker. A test does not stop it, and uses names of its
    own."""
    server = PrefectServer(tmp_path_factory.mktemp("prefect"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def upstream_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartUpstream]:
    """One server of each version; the newest on PostgreSQL."""
    servers: dict[str, PrefectServer] = {}
    databases: list[PostgresServer] = []

    def start(version: str) -> PrefectServer:
        if version not in servers:
            settings = dict(IN_FILES)
            if version == NEWEST:
                databases.append(PostgresServer())
                databases[0].start()
                settings["PREFECT_API_DATABASE_CONNECTION_URL"] = databases[0].prefect_url
            directory = tmp_path_factory.mktemp(f"prefect-{version}")
            server = PrefectServer(directory, version, **settings)
            server.start()
            servers[version] = server
        return servers[version]

    yield start
    for each in servers.values():
        if each.is_started():
            each.stop()
    for database in databases:
        database.stop()


@pytest.fixture
def start_prefect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartPrefect]:
    """Starts a Prefect server of the test's own, with another version or with settings."""
    servers: list[PrefectServer] = []
    who_logs = request.node.stash.setdefault(WHO_LOGS, [])

    def start(version: str | None = None, **settings: str) -> PrefectServer:
        directory = tmp_path / f"prefect-{len(servers)}"
        directory.mkdir()
        server = PrefectServer(directory, version, **settings)
        servers.append(server)
        who_logs.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        if server.is_started():
            server.thaw()
            server.stop()


@pytest.fixture
def start_gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartGateway]:
    """Starts Leasehold in front of a Prefect server. It must stop with success."""
    servers: list[LeaseholdServer] = []
    who_logs = request.node.stash.setdefault(WHO_LOGS, [])

    def start(upstream: PrefectServer, *options: str, **environment: str) -> LeaseholdServer:
        directory = tmp_path / f"gateway-{len(servers)}"
        directory.mkdir()
        options = ("--upstream", upstream.api_url, "--lease-seconds-min", "1", *options)
        server = Gateway(directory, list(options), environment)
        servers.append(server)
        who_logs.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        if server.is_started():
            server.stop()


@pytest.fixture
def gateway(prefect: PrefectServer, start_gateway: StartGateway) -> LeaseholdServer:
    """Leasehold in front of `prefect`."""
    return start_gateway(prefect)


@pytest.fixture
def user(gateway: LeaseholdServer, make_user: MakeUser) -> PrefectUser:
    """A user of `gateway`."""
    return make_user(gateway, PREFECT_LOGGING_LEVEL="WARNING")
