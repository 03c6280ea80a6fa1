"""`leasehold migrate prefect …`, and what it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leasehold_server import BINARY, without_settings


@dataclass
class Ended:
    """How a command ended."""

    exit_code: int
    output: str
    errors: str

    @property
    def answer(self) -> dict[str, Any]:
        return json.loads(self.output)


def migrate(command: str, *arguments: object, **environment: str) -> Ended:
    """Runs `leasehold migrate prefect` to its end."""
    done = subprocess.run(
        [BINARY, "migrate", "prefect", command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=without_settings(os.environ) | environment,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def migrated(command: str, *arguments: object) -> dict[str, Any]:
    """The answer of a command that has to succeed, or of a dry run that finds something to do."""
    ended = migrate(command, *arguments, "--output", "json")
    expected = 2 if "--dry-run" in arguments else 0
    assert ended.exit_code == expected, f"{ended.exit_code}: {ended.errors}{ended.output}"
    return ended.answer


def verdicts(answer: dict[str, Any]) -> dict[str, bool]:
    """Which holders are carried, by the names of their runs or their leases."""
    holders = answer["plan"]["holders"]
    return {(it["run"] or {}).get("name") or it["lease"]: it["carried"] for it in holders}


def digests(directory: Path) -> dict[str, str]:
    """What all files below a directory hold."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
