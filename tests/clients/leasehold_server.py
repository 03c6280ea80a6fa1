"""The server under test: the real binary on a free port, with a data directory of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / os.environ.get("LEASEHOLD_BIN", "target/debug/leasehold")

STOP_SECONDS = 20.0
"""The server promises five on a machine that does not stand still."""


class LeaseholdServer:
    """One `leasehold server start`, which a test can stop, kill and start again.

    A restart keeps the port and the data directory, as under a service manager.
    """

    def __init__(self, directory: Path, options: list[str], environment: dict[str, str]):
        self.log_path = directory / "server.log"
        self._data_dir = directory / "data"
        self._options = options
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.api_url = ""

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self._launch()

    def hand_over(self) -> None:
        """Lets a successor take over. The server before it must end in time and with success."""
        before, self._process = self._process, None
        assert before is not None, "the server is not started"
        self._launch("--takeover")
        exit_code = before.wait(STOP_SECONDS)
        assert exit_code == 0, f"the server before ended with {exit_code}"

    def _launch(self, *options: str) -> None:
        assert BINARY.exists(), f"{BINARY} is not there; `cargo build` makes it"
        command = [BINARY, "server", "start", "--port", str(self._port)]
        command += ["--data-dir", self._data_dir, *self._options, *options]
        with self.log_path.open("ab") as log:
            already_logged = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=without_settings(os.environ) | self._environment,
            )
        self.api_url = wait_until(
            lambda: self._announced_url(already_logged),
            "the server says where it listens",
        )
        self._port = httpx.URL(self.api_url).port or 0
        wait_until(self._is_healthy, "the server is healthy")

    def stop(self) -> None:
        """Stops the server with SIGTERM. It must exit in time and with success."""
        exit_code = self._end(signal.SIGTERM)
        assert exit_code == 0, f"the server ended with {exit_code}"

    def kill(self) -> None:
        """Ends the server with SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def is_started(self) -> bool:
        """Whether the test has started the server, and has not stopped or killed it since."""
        return self._process is not None

    def memory_bytes(self) -> int:
        """How much memory its process has."""
        assert self._process is not None, "the server is not started"
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1)) * 1_024

    def log(self) -> str:
        return self.log_path.read_text()

    def log_paths(self) -> list[Path]:
        return [self.log_path]

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Sends a request without the client, to see what the client did."""
        return httpx.request(method, f"{self.api_url}{path}", json=body, timeout=60, **options)

    def limit(self, name: str) -> dict[str, Any]:
        """A global limit as it is now."""
        return self._success("GET", f"/v2/concurrency_limits/{name}")

    def active_slots(self, name: str) -> int:
        return self.limit(name)["active_slots"]

    def leases(self, name: str) -> list[dict[str, Any]]:
        """The leases that hold the slots of a global limit."""
        return self._success("GET", f"/v2/concurrency_limits/{name}/leases")

    def deadline(self, name: str) -> float:
        """The deadline of the one lease on a global limit, in Unix seconds."""
        (lease,) = self.leases(name)
        return datetime.fromisoformat(lease["deadline"]).timestamp()

    def create_limit(self, name: str, limit: int, **fields: Any) -> dict[str, Any]:
        body = {"name": name, "limit": limit, **fields}
        return self._success("POST", "/v2/concurrency_limits/", body)

    def create_tag_limit(self, tag: str, limit: int) -> dict[str, Any]:
        return self._success(
            "POST", "/concurrency_limits/", {"tag": tag, "concurrency_limit": limit}
        )

    def tag_holders(self, tag: str) -> list[str]:
        """The task runs that hold the slots of a tag."""
        return self._success("GET", f"/concurrency_limits/tag/{tag}")["active_slots"]

    def _success(self, method: str, path: str, body: Any = None) -> Any:
        response = self.request(method, path, body)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    def _announced_url(self, since: int) -> str | None:
        assert self._process is not None and self._process.poll() is None, "it did not start"
        text = self.log_path.read_bytes()[since:].decode()
        found = re.search(r"http://[\w.]+:\d+/api", text)
        return found and found.group()

    def _is_healthy(self) -> bool:
        try:
            return self.request("GET", "/health").is_success
        except httpx.TransportError:
            return False

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None, "the server is not started"
        process.send_signal(how)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"still running {STOP_SECONDS} s after {how.name}") from None


class ServerOfSomebodyElse(LeaseholdServer):
    """A server that runs already, such as a Prefect server.

    It is for writing these tests: it shows what they demand that Prefect's server does not do.
    Each test first deletes the server's limits. A test that needs its own server is skipped.
    """

    def __init__(self, directory: Path, api_url: str):
        super().__init__(directory, [], {})
        self.api_url = api_url
        self.log_path.write_text("(the log of this server is elsewhere)\n")

    def start(self) -> None:
        for limit in self._success("POST", "/v2/concurrency_limits/filter"):
            self.request("DELETE", f"/v2/concurrency_limits/{limit['id']}")

    def stop(self) -> None:
        """Leaves it running."""


def without_settings(environment: os._Environ[str]) -> dict[str, str]:
    """The environment without the variables that configure a server or a client."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("PREFECT_", "LEASEHOLD_"))
    }
