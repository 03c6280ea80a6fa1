"""Import, export and restore with real Prefect servers and the real client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import MakeUser, StartPrefect
from holdings import Holdings, fill
from leasehold_server import LeaseholdServer
from migrating import digests, migrate, migrated, verdicts
from postgres_server import PostgresServer
from prefect_server import PrefectServer

FILES = "prefect.server.concurrency.lease_storage.filesystem"
IN_FILES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": FILES}

StartLeasehold = Callable[[], LeaseholdServer]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The data directory of `start_leasehold`."""
    return tmp_path / "leasehold" / "data"


@pytest.fixture
def start_leasehold(data_dir: Path) -> Iterator[StartLeasehold]:
    """Starts Leasehold on `data_dir`."""
    servers: list[LeaseholdServer] = []

    def start() -> LeaseholdServer:
        data_dir.parent.mkdir(exist_ok=True)
        server = LeaseholdServer(data_dir.parent, [], {})
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        if server.is_started():
            server.stop()


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


def leases_of(server: PrefectServer) -> Path:
    return server.home / "concurrency_leases"


def renew(server: LeaseholdServer | PrefectServer, lease: str) -> int:
    path = f"/v2/concurrency_limits/leases/{lease}/renew"
    return server.request("POST", path, {"lease_duration": 60}).status_code


def check_imported(server: LeaseholdServer, made: Holdings, user_of: MakeUser) -> None:
    """What came from a storage of leases is held under the same ids, and the client respects it."""
    for name, id in made.limits.items():
        assert server.limit(name)["id"] == id
    assert server.active_slots("database") == 3, "the slot without a lease stays behind"
    assert server.tag_holders("ocr") == [made.runs["live-task"]]
    assert not server.limit("off")["active"]
    assert 40 < server.active_slots("api") <= 50
    user = user_of(server)
    refused = user.start("hold.py", "sync", "database", "--occupy", "3", "--timeout-seconds", "1")
    refused.finish(exit_code=3)
    holder = user.start("hold.py", "sync", "database", "--occupy", "2")
    holder.wait_for("acquired")
    assert renew(server, made.leases["live-flow"]) == 204
    body = {"lease_id": made.leases["live-flow"]}
    server.request("POST", "/v2/concurrency_limits/decrement-with-lease", body)
    assert server.active_slots("database") == 3
    holder.let_go()
    holder.finish()


def test_a_stopped_server_is_imported_from_sqlite_and_files_and_exported_back(
    start_prefect: StartPrefect,
    start_leasehold: StartLeasehold,
    make_user: MakeUser,
    data_dir: Path,
) -> None:
    prefect = start_prefect(**IN_FILES)
    made = fill(prefect)
    prefect.kill()
    source = ["--from", f"sqlite:///{prefect.database}", "--leases", leases_of(prefect)]
    before = digests(prefect.home)
    dry = migrated("import", *source, "--data-dir", data_dir, "--dry-run")
    assert not data_dir.exists()
    answer = migrated("import", *source, "--data-dir", data_dir)
    assert digests(prefect.home) == before, "the source was written"
    expected = {"live-flow": True, made.leases["nobody"]: True}
    expected |= {"live-task": True, "dead-task": False}
    assert verdicts(answer) == verdicts(dry) == expected
    assert answer["applied"] == {"limits": 4, "holders": 3}
    again = migrated("import", *source, "--data-dir", data_dir)
    assert again["applied"] == {"limits": 0, "holders": 0}

    server = start_leasehold()
    check_imported(server, made, make_user)
    running = migrate("import", *source, "--data-dir", data_dir)
    assert running.exit_code == 75 and "stop it first" in running.errors
    server.request("PATCH", "/v2/concurrency_limits/database", {"limit": 4})
    server.stop()
    conflict = migrate("import", *source, "--data-dir", data_dir)
    assert conflict.exit_code == 1 and "5 slots there, 4 here" in conflict.output

    target = ["--to", f"sqlite:///{prefect.database}", "--leases", leases_of(prefect)]
    conflict = migrate("export", *target, "--data-dir", data_dir)
    assert conflict.exit_code == 1
    answer = migrated("export", *target, "--data-dir", data_dir, "--replace")
    assert {holder["way"] for holder in answer["plan"]["holders"]} == {"left"}, "all are there"
    prefect.start()
    assert prefect.limit("database")["limit"] == 4
    assert renew(prefect, made.leases["nobody"]) == 204


def test_what_is_granted_here_lives_on_in_a_new_prefect_server(
    start_prefect: StartPrefect,
    start_leasehold: StartLeasehold,
    make_user: MakeUser,
    data_dir: Path,
) -> None:
    server = start_leasehold()
    server.create_limit("gpu", 4)
    server.create_limit("api", 10, slot_decay_per_second=0.001)
    body = {"names": ["gpu"], "slots": 3, "lease_duration": 3600}
    granted = server.request("POST", "/v2/concurrency_limits/increment-with-lease", body)
    lease = granted.json()["lease_id"]
    body = {"names": ["api"], "slots": 6, "mode": "rate_limit"}
    server.request("POST", "/v2/concurrency_limits/increment", body)
    server.stop()

    prefect = start_prefect(**IN_FILES)
    prefect.stop()
    target = ["--to", f"sqlite:///{prefect.database}", "--leases", leases_of(prefect)]
    migrated("export", *target, "--data-dir", data_dir)
    again = migrated("export", *target, "--data-dir", data_dir)
    assert again["applied"]["holders"] == 0
    prefect.start()
    assert prefect.limit("gpu")["active_slots"] == 3
    assert prefect.limit("api")["active_slots"] in (5, 6)
    user = make_user(prefect)
    refused = user.start("hold.py", "sync", "gpu", "--occupy", "2", "--timeout-seconds", "1")
    refused.finish(exit_code=3)
    assert renew(prefect, lease) == 204
    prefect.request("POST", "/v2/concurrency_limits/decrement-with-lease", {"lease_id": lease})
    holder = user.start("hold.py", "sync", "gpu", "--occupy", "4")
    holder.wait_for("acquired")
    holder.let_go()
    holder.finish()


def test_a_running_server_is_imported_and_gets_back_what_lives(
    start_prefect: StartPrefect, start_leasehold: StartLeasehold, data_dir: Path
) -> None:
    prefect = start_prefect()
    made = fill(prefect)
    answer = migrated("import", "--from", prefect.api_url, "--data-dir", data_dir)
    assert answer["plan"]["version"] == "3.9.1"
    assert verdicts(answer) == {"live-task": True, "dead-task": False}
    server = start_leasehold()
    assert server.limit("database")["id"] == made.limits["database"]
    assert server.active_slots("database") == 0, "the API does not tell who holds it"
    assert server.tag_holders("ocr") == [made.runs["live-task"]]
    body = {"names": ["database"], "slots": 1, "lease_duration": 3600}
    server.request("POST", "/v2/concurrency_limits/increment-with-lease", body)
    server.kill()

    held = prefect.limit("database")["active_slots"]
    restore = ["restore", "--to", prefect.api_url, "--data-dir", data_dir]
    dry = migrated(*restore, "--dry-run")
    assert dry["applied"] is None and prefect.limit("database")["active_slots"] == held
    answer = migrated(*restore)
    ways = [holder["way"] for holder in answer["plan"]["holders"]]
    assert sorted(ways) == ["granted", "left"], "the task run holds its tag there already"
    assert answer["applied"]["failed"] == [] and answer["applied"]["holders"] == 1
    assert prefect.limit("database")["active_slots"] == held + 1
    again = migrated(*restore)
    assert (again["applied"]["holders"], again["applied"]["before"]) == (0, 1)
    assert prefect.limit("database")["active_slots"] == held + 1


def test_a_server_on_postgresql_is_imported_and_exported_back(
    postgres: PostgresServer,
    start_prefect: StartPrefect,
    start_leasehold: StartLeasehold,
    make_user: MakeUser,
    data_dir: Path,
) -> None:
    url = postgres.prefect_url
    prefect = start_prefect(PREFECT_API_DATABASE_CONNECTION_URL=url, **IN_FILES)
    made = fill(prefect)
    prefect.stop()
    place = [f"postgresql://{postgres.address}", "--leases", leases_of(prefect)]
    migrated("import", "--from", *place, "--data-dir", data_dir)
    server = start_leasehold()
    check_imported(server, made, make_user)
    server.create_limit("new", 2)
    body = {"names": ["new"], "slots": 1, "lease_duration": 3600}
    granted = server.request("POST", "/v2/concurrency_limits/increment-with-lease", body)
    server.stop()
    migrated("export", "--to", *place, "--data-dir", data_dir)
    prefect.start()
    assert prefect.limit("new")["active_slots"] == 1
    assert renew(prefect, granted.json()["lease_id"]) == 204

    wrong = migrate("import", "--from", place[0].replace("secret", "wrong"), "--dry-run")
    assert wrong.exit_code == 77 and "wrong" not in wrong.errors, wrong.errors


def test_what_is_wrong_is_said(prefect: PrefectServer, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database at all, whatever its name says " * 40)
    for source, exit_code, says in [
        (f"{prefect.url}/nowhere", 69, "does not answer as a Prefect server"),
        ("http://127.0.0.1:9/api", 69, "cannot be reached"),
        ("postgresql://u:p@127.0.0.1:9/d", 69, "cannot be reached"),
        (f"sqlite:///{tmp_path}/none.db", 65, "there is no database"),
        (f"sqlite:///{tmp_path}/text.db", 65, "is no database of a Prefect server"),
        ("prefect.db", 64, "names no Prefect server"),
    ]:
        data_dir = tmp_path / "data"
        ended = migrate("import", "--from", source, "--data-dir", data_dir, "--dry-run")
        assert (ended.exit_code, says in ended.errors) == (exit_code, True), ended
        assert ended.errors.count("\n") == 1
