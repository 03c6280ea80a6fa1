"""A real Prefect server on a free port, behind the pages, in the environment of its version."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from leasehold_server import ROOT

VENVS = ROOT / os.environ.get("LEASEHOLD_TEST_VENV_DIR", "target/venvs")
VERSION = "3.9.1"
START_SECONDS = 180
"""A server of Prefect takes about ten seconds, and longer on a busy machine."""


class PrefectBehind:
    """One `prefect server start`."""

    def __init__(self, directory: Path):
        self._directory = directory
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._port = listener.getsockname()[1]
        self.api_url = f"http://127.0.0.1:{self._port}/api"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> PrefectBehind:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        environment = kept | {
            "HOME": str(self._directory),
            "PREFECT_HOME": str(self._directory / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        python = VENVS / f"prefect-{VERSION}" / "bin" / "python"
        command = [python, "-m", "prefect", "server", "start"]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        log_path = self._directory / "prefect.log"
        with log_path.open("ab") as log:
            # The server is a child of the command: a signal to the group reaches both.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_healthy():
            assert self._process.poll() is None, log_path.read_text()
            assert time.monotonic() < deadline, log_path.read_text()
            time.sleep(0.2)
        return self

    def stop(self) -> None:
        """Ends it as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Asks it directly, past the gateway. `path` is below `/api`."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.api_url + path, data, headers, method=method)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                # Its SQLite was locked: a client sends the request again.
                assert error.code == 503 and time.monotonic() < deadline, error.read()
                time.sleep(0.2)

    def _is_healthy(self) -> bool:
        try:
            return self.send("GET", "/health") is True
        except OSError:
            return False
