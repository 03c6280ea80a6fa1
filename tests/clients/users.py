"""What the suites have in common: users of a server, and the logs in the report of a failure.

A `conftest.py` imports the fixture and the hook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from prefect_user import PrefectUser

LOG_CHARS_MAX = 20_000


class Server(Protocol):
    """A server that a client can use."""

    api_url: str


class Logs(Protocol):
    """A server or a user that writes logs."""

    def log_paths(self) -> list[Path]: ...


WHO_LOGS = pytest.StashKey[list[Logs]]()

MakeUser = Callable[..., PrefectUser]


@pytest.fixture
def make_user(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeUser]:
    """Makes a user of a server, with Prefect settings in the environment. `python` has the client,
    if it is not this one."""
    users: list[PrefectUser] = []
    who_logs = request.node.stash.setdefault(WHO_LOGS, [])

    def make(server: Server, python: Path | None = None, **settings: str) -> PrefectUser:
        directory = tmp_path / f"user-{len(users)}"
        directory.mkdir()
        user = PrefectUser(server.api_url, directory, settings, python)
        who_logs.append(user)
        users.append(user)
        return user

    yield make
    for user in users:
        user.end_programs()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Adds the ends of the servers' logs and of the programs' output to the report of a failure."""
    report = yield
    if report.failed:
        for path in (path for who in item.stash.get(WHO_LOGS, []) for path in who.log_paths()):
            text = path.read_text() if path.exists() else ""
            report.sections.append((f"{path.parent.name}/{path.name}", text[-LOG_CHARS_MAX:]))
    return report
