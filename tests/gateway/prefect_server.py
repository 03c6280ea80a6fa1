"""A real Prefect server on a free port, with a home directory of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from leasehold_server import ROOT, without_settings
from waiting import wait_until

VENVS = ROOT / os.environ.get("LEASEHOLD_TEST_VENV_DIR", "target/venvs")

START_SECONDS = 180.0
"""A server of Prefect takes about ten seconds, and longer on a busy machine."""


class PrefectServer:
    """One `prefect server start`, which a test can stop, kill, freeze and start again.

    A restart keeps the port and the database. `version` names another environment of
    `tests/venvs`; `settings` are variables of Prefect.
    """

    def __init__(self, directory: Path, version: str | None = None, **settings: str):
        self.log_path = directory / "prefect-server.log"
        self.home = directory / "home"
        self.port = free_port()
        python = sys.executable if version is None else str(python_with(version))
        self._program = [python, "-m", "prefect"]
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.url}/api"

    @property
    def database(self) -> Path:
        """The file of its SQLite database."""
        return self.home / "prefect.db"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        environment = without_settings(os.environ) | {
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PYTHONWARNINGS": "ignore",
            **self._settings,
        }
        command = [*self._program, "server", "start"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # The server is a child of the command: a signal to the group reaches both.
                start_new_session=True,
            )
        try:
            wait_until(self._is_healthy, "the Prefect server is healthy", START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ends it with SIGTERM, and with SIGKILL if that is not enough."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it with SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stops it in the middle: it accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def is_started(self) -> bool:
        return self._process is not None

    def log_paths(self) -> list[Path]:
        return [self.log_path]

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Asks it directly, past any gateway. `path` is below `/api`."""
        options.setdefault("timeout", 60)
        return httpx.request(method, f"{self.api_url}{path}", json=body, **options)

    def limit(self, name: str) -> dict[str, Any]:
        """A global limit as it counts it."""
        response = self.request("GET", f"/v2/concurrency_limits/{name}")
        assert response.is_success, f"{response.status_code} {response.text}"
        return response.json()

    def _is_healthy(self) -> bool:
        assert self._process is not None and self._process.poll() is None, "it did not start"
        # A request costs processor time that the start needs.
        if not is_listening(self.port):
            return False
        try:
            return self.request("GET", "/health", timeout=2).is_success
        except httpx.TransportError:
            return False

    def _signal(self, how: signal.Signals) -> None:
        assert self._process is not None, "the Prefect server is not started"
        os.killpg(self._process.pid, how)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None, "the Prefect server is not started"
        os.killpg(process.pid, how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        # Also what the command left behind.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def python_with(version: str) -> Path:
    """The interpreter of the environment with this version of Prefect."""
    python = VENVS / f"prefect-{version}" / "bin" / "python"
    assert python.exists(), f"{python} is not there; `cargo xtask test gateway --whole` makes it"
    return python


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
