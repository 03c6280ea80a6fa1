"""Import from databases that older Prefect servers made, and export back into them.

No part of CI: the servers are installed first, each with what it needs to start today. By one
command:

    python -m pytest tests/gateway/old_servers.py

LEASEHOLD_TEST_SERVER_VENVS names a directory that has them already, as prefect-<version>.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdings import fill
from leasehold_server import LeaseholdServer
from migrating import digests, migrated, verdicts
from prefect_server import VENVS, PrefectServer

FILES = "prefect.server.concurrency.lease_storage.filesystem"
IN_FILES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": FILES}

# Newer releases of these have dropped what the servers call.
PINS = ["fastapi==0.115.12", "starlette==0.46.2", "importlib_metadata"]
SERVERS = {"3.4.10": PINS, "3.1.15": PINS, "2.20.26": []}


class OldServer(PrefectServer):
    """A server of a version that is no client of the tests."""

    def __init__(self, directory: Path, version: str):
        super().__init__(directory, **IN_FILES)
        python = python_of(version)
        # The package of 2.20 cannot be run.
        self._program = [str(python), str(python.with_name("prefect"))]


def python_of(version: str) -> Path:
    given = os.environ.get("LEASEHOLD_TEST_SERVER_VENVS")
    if given:
        return Path(given).resolve() / f"prefect-{version}" / "bin" / "python"
    directory = VENVS / f"server-{version}"
    python = directory / "bin" / "python"
    if not (directory / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        install = [python, "-m", "pip", "install", "--quiet", f"prefect=={version}"]
        subprocess.run([*install, *SERVERS[version]], check=True)
        (directory / "made").touch()
    return python


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OldServer]:
    server = OldServer(tmp_path, request.param)
    server.start()
    yield server
    if server.is_started():
        server.stop()


def test_what_an_old_server_has_is_carried_there_and_back(
    server: OldServer, tmp_path: Path
) -> None:
    made = fill(server)
    data_dir = tmp_path / "leasehold" / "data"
    by_api = migrated("import", "--from", server.api_url, "--data-dir", data_dir, "--dry-run")
    assert verdicts(by_api) == {"live-task": True, "dead-task": False}

    server.kill()
    leases = server.home / "concurrency_leases"
    place = [f"sqlite:///{server.database}", *(["--leases", leases] if made.leases else [])]
    before = digests(server.home)
    answer = migrated("import", "--from", *place, "--data-dir", data_dir)
    assert digests(server.home) == before, "the source was written"
    carried = {name for name, is_carried in verdicts(answer).items() if is_carried}
    assert carried == {"live-task", *made.leases.values()} or carried == {
        "live-task", "live-flow", made.leases["nobody"]
    }  # fmt: skip

    data_dir.parent.mkdir(exist_ok=True)
    leasehold = LeaseholdServer(data_dir.parent, [], {})
    leasehold.start()
    for name, id in made.limits.items():
        assert leasehold.limit(name)["id"] == id
    assert leasehold.tag_holders("ocr") == [made.runs["live-task"]]
    assert leasehold.active_slots("database") == (3 if made.leases else 0)
    body = {"names": ["ocr"], "task_run_id": made.runs["dead-task"]}
    assert leasehold.request("POST", "/concurrency_limits/increment", body).is_success
    leasehold.create_limit("new", 7)
    leasehold.create_tag_limit("new-tag", 2)
    leasehold.stop()

    migrated("export", "--to", *place, "--data-dir", data_dir)
    server.start()
    assert server.limit("new")["limit"] == 7
    tag = server.request("GET", "/concurrency_limits/tag/new-tag").json()
    assert tag["concurrency_limit"] == 2
    holders = server.request("GET", "/concurrency_limits/tag/ocr").json()["active_slots"]
    assert sorted(holders) == sorted([made.runs["live-task"], made.runs["dead-task"]])
