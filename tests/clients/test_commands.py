"""`leasehold gcl` and `leasehold concurrency-limit` beside the commands of the real client."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasehold_commands import PROGRAMS, LeaseholdCommands
from leasehold_server import LeaseholdServer
from prefect_user import PrefectUser, some_id

pytestmark = pytest.mark.skipif(
    "leasehold" not in PROGRAMS, reason="compared with the newest client alone"
)


@pytest.fixture
def ours(server: LeaseholdServer, tmp_path: Path) -> LeaseholdCommands:
    return LeaseholdCommands(server.api_url, tmp_path)


def test_both_print_the_same_json_to_the_byte(
    server: LeaseholdServer, user: PrefectUser, ours: LeaseholdCommands, tmp_path: Path
) -> None:
    for command in ("gcl", "concurrency-limit"):
        listed = [command, "ls", "--output", "json"]
        assert ours.prefect(*listed) == user.prefect(*listed)
    server.create_limit("database", 5, active_slots=2)
    server.create_limit("my api", 3, slot_decay_per_second=0.001, active=False)
    server.create_tag_limit("ocr", 2)
    server.create_tag_limit("pdf", 4)
    body = {"names": ["ocr"], "task_run_id": some_id()}
    assert server.request("POST", "/concurrency_limits/increment", body).is_success
    for arguments in (
        ["gcl", "ls", "-o", "json"],
        ["gcl", "ls", "--output", "JSON"],
        ["gcl", "inspect", "database", "--output", "json"],
        ["gcl", "inspect", "my api", "-o", "json"],
        ["global-concurrency-limit", "inspect", "tag:ocr", "-o", "json"],
        ["concurrency-limit", "ls", "-o", "json"],
        ["concurrency-limits", "ls", "--limit", "1", "--offset", "1", "-o", "json"],
        ["concurrency-limit", "inspect", "ocr", "-o", "json"],
    ):
        assert ours.prefect(*arguments) == user.prefect(*arguments), arguments
    for program in (user, ours):
        path = tmp_path / f"{type(program).__name__}.json"
        written = ["gcl", "inspect", "database", "--output", "json", "--file", str(path)]
        assert "written to" in program.prefect(*written)
    files = [path.read_text().strip() for path in sorted(tmp_path.glob("*.json"))]
    assert len(files) == 2 and files[0] == files[1]


SENTENCES = [
    (["gcl", "create", "{new}", "--limit", "2"], 0, "Created global concurrency limit with name"),
    (["gcl", "create", "a", "-l", "2"], 1, "Global concurrency limit 'a' already exists."),
    (["gcl", "create", "b"], 1, None),
    (["gcl", "create", "b", "--limit", "-1"], 1, None),
    (["gcl", "create", "b", "--limit", "many"], 1, None),
    (["gcl", "create", "b/c", "--limit", "1"], 1, None),
    (["gcl", "update", "a", "--limit", "3", "--enable"], 0, "Updated global concurrency limit"),
    (["gcl", "update", "a", "--no-disable", "--limit", "4"], 0, "Updated global concurrency limit"),
    (["gcl", "update", "a", "--slot-decay-per-second", "0.5"], 0, "with name 'a'."),
    (["gcl", "update", "a"], 1, "No update arguments provided."),
    (["gcl", "update", "a", "--enable", "--disable"], 1, "Cannot enable and disable a global"),
    (["gcl", "update", "nobody", "--limit", "1"], 1, "limit 'nobody' not found."),
    (["gcl", "enable", "a"], 1, "limit with name 'a' is already enabled."),
    (["gcl", "enable", "nobody"], 1, "Global concurrency limit 'nobody' not found."),
    (["gcl", "inspect", "nobody"], 1, "Global concurrency limit 'nobody' not found."),
    (["gcl", "inspect", "a", "--file", "x"], 1, "requires the --output option to be set."),
    (["gcl", "delete", "nobody"], 1, "Global concurrency limit 'nobody' not found."),
    (["gcl", "delete"], 1, None),
    (["gcl", "forget", "a"], 1, None),
    (["gcl", "--help"], 0, "anage global concurrency limits"),
    (["--no-prompt", "gcl", "ls"], 0, "tag:ocr"),
    (["gcl", "ls", "--no-prompt"], 0, "tag:ocr"),
    (
        ["concurrency-limit", "create", "{new}", "2"],
        0,
        "Created concurrency limit with properties:",
    ),
    (["concurrency-limit", "create", "ocr", "3"], 0, "concurrency_limit - 3"),
    (["concurrency-limit", "create", "ocr"], 1, None),
    (["concurrency-limit", "reset", "ocr"], 0, "Reset concurrency limit set on the tag: ocr"),
    (["concurrency-limit", "reset", "nobody"], 1, "limit found for the tag: nobody"),
    (["concurrency-limit", "inspect", "nobody"], 1, "limit found for the tag: nobody"),
    (["concurrency-limit", "delete", "nobody"], 1, "limit found for the tag: nobody"),
    (["concurrency-limit", "ls", "--output", "xml"], 1, None),
]


def test_both_say_the_same_and_end_alike(
    server: LeaseholdServer, user: PrefectUser, ours: LeaseholdCommands
) -> None:
    server.create_limit("a", 1)
    server.create_tag_limit("ocr", 2)
    for arguments, exit_code, sentence in SENTENCES:
        for name, program in (("new-1", user), ("new-2", ours)):
            typed = [argument.format(new=name) for argument in arguments]
            said = program.prefect(*typed, exit_code=exit_code)
            assert sentence is None or sentence in said, f"{name} {typed}: {said}"
