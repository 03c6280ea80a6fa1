"""`leasehold gcl` and `leasehold concurrency-limit`, run as `PrefectUser` runs those of Prefect."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from leasehold_server import BINARY, without_settings
from prefect_user import CLIENT_VERSION

PROGRAMS = ["prefect", "leasehold"] if CLIENT_VERSION >= (3, 9) else ["prefect"]
"""Which programs the tests of commands run. Ours stands in the place of the newest one."""


class LeaseholdCommands:
    """A user who types `leasehold` where others type `prefect`."""

    def __init__(self, api_url: str, directory: Path):
        self._environment = without_settings(os.environ) | {
            "PREFECT_API_URL": api_url,
            "PREFECT_HOME": str(directory / "prefect"),
        }

    def prefect(self, *arguments: str, exit_code: int = 0) -> str:
        """Runs a command, and returns its output. Prefect's prints its errors there, too."""
        ended = subprocess.run(
            [BINARY, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if exit_code else subprocess.PIPE,
            env=self._environment,
            text=True,
            timeout=60,
        )
        assert ended.returncode == exit_code, f"exit code {ended.returncode}: {ended.stdout}"
        return ended.stdout
