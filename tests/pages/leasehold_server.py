"""The server under test: the real binary on a free port, with a data directory of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / os.environ.get("LEASEHOLD_BIN", "target/debug/leasehold")


class LeaseholdServer:
    """One `leasehold server start`, which a test can stop and start again on its port."""

    def __init__(self, directory: Path, *options: str):
        self._directory = directory
        self._options = options
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> LeaseholdServer:
        command = [BINARY, "server", "start", "--port", self._port]
        command += ["--data-dir", self._directory / "data", *self._options]
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self._directory
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"(http://127[\d.]+:(\d+))/api", line):
                self.url, self._port = found.groups()
                break
        assert self.url, "the server did not start"
        # A full pipe would stop it.
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(20) == 0
            self._process = None

    def log(self) -> str:
        return (self._directory / "server.log").read_text()

    def send(self, method: str, path: str, body: Any = None, expect: int | None = None) -> Any:
        """Sends a request and returns the body of the answer as JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        assert status == expect if expect else status < 300, f"{method} {path}: {status} {text!r}"
        return json.loads(text) if text else None

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read().decode()

    def create(self, name: str, slots: int, **fields: Any) -> str:
        """Creates a limit and returns the path of its page."""
        body = {"name": name, "limit": slots, **fields}
        made = self.send("POST", "/api/v2/concurrency_limits/", body)
        return f"/leasehold/limits/{made['id']}"

    def acquire(self, name: str, slots: int = 1, **fields: Any) -> str:
        """Takes slots and returns the id of the lease."""
        body = {"limits": [{"name": name, "slots": slots}], "ttl_seconds": 120, **fields}
        return self.send("POST", "/api/leases", body)["id"]

    def wait_behind(self, name: str, holder: str) -> threading.Thread:
        """A request that waits for a slot, for as long as the test lasts."""
        body = {
            "limits": [{"name": name, "slots": 1}],
            "ttl_seconds": 60,
            "wait_seconds": 60,
            "holder": {"kind": "process", "id": holder},
        }

        def wait() -> None:
            try:
                self.send("POST", "/api/leases", body)
            except (AssertionError, OSError):
                pass  # The test ended first.

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread
