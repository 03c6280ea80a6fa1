"""A user with the real, unmodified Prefect client, and programs that use it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from leasehold_server import without_settings
from waiting import wait_until

PROGRAMS = Path(__file__).parent / "programs"

CLIENT_VERSION = tuple(int(part) for part in version("prefect").split(".")[:3])
HAS_LEASES = CLIENT_VERSION >= (3, 4, 10)
"""Older clients take slots of global limits with a plain increment."""

needs_leases = pytest.mark.skipif(
    not HAS_LEASES, reason="this version of the client takes slots without a lease"
)

NOISE = re.compile(
    r"^(\S+ \| \w+ +\| [^\n]* - )?"
    r"(Still processing items: .*"
    r"|(exception calling callback for <Future|Exception in callback concurrency)"
    r"(.|\n)*?CancelledError)\n",
    re.MULTILINE,
)
"""What clients log with any server: the queues of 3.8 log one line if a program ends before they
are empty, and 3.4 logs an error of its own at the end of each block."""


class Program:
    """A program of the user, while it runs and afterwards.

    It prints to `output`; the client in it logs to `log`.
    """

    def __init__(self, command: list[str], environment: dict[str, str], path: Path):
        self.output_path = path.with_suffix(".output")
        self.log_path = path.with_suffix(".log")
        with self.output_path.open("wb") as output, self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
                env=environment,
                cwd=path.parent,
            )

    @property
    def output(self) -> str:
        return self.output_path.read_text()

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def lines(self, word: str) -> list[str]:
        """The rest of each line that starts with `word`."""
        return [
            line[len(word) :].strip() for line in self.output.splitlines() if line.startswith(word)
        ]

    def wait_for(self, word: str, within_seconds: float = 60.0) -> None:
        """Waits until it has printed a line that starts with `word`."""

        def printed() -> bool:
            found = bool(self.lines(word))
            assert found or self.is_running(), f"ended without printing {word!r}"
            return found

        wait_until(printed, f"the program prints {word!r}", within_seconds)

    def let_go(self) -> None:
        """Closes the input of a program that holds until its input ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """Kills the program with -9, so that it cannot clean up."""
        self._process.kill()
        self._process.wait()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspends the program: it sees what happens meanwhile only after all of it."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def finish(
        self, exit_code: int = 0, clean: bool | None = None, within_seconds: float = 60.0
    ) -> Program:
        """Waits for its end. Its log must be clean if `clean` says so, or else if it succeeds."""
        try:
            self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the program still runs after {within_seconds} s") from None
        assert self._process.returncode == exit_code, f"exit code {self._process.returncode}"
        if clean or (clean is None and exit_code == 0):
            assert_clean(self.log)
        return self


class PrefectUser:
    """A user's machine: a home directory, settings that point at the server, and a Python with the
    client."""

    def __init__(
        self,
        api_url: str,
        directory: Path,
        settings: dict[str, str],
        python: Path | None = None,
    ):
        self._python = str(python or sys.executable)
        self._directory = directory
        self._environment = without_settings(os.environ) | {
            "PREFECT_API_URL": api_url,
            "PREFECT_HOME": str(directory / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "COLUMNS": "200",
            # The client's dependencies warn, because they are newer than its release.
            "PYTHONWARNINGS": "ignore",
            **settings,
        }
        self._programs: list[Program] = []
        self._commands: Conversation | None = None
        self._started = 0

    def start(self, script: str, *arguments: object) -> Program:
        """Starts one of the programs in `programs/`."""
        command = [self._python, str(PROGRAMS / script), *map(str, arguments)]
        program = Program(command, self._environment, self._new_path(Path(script).stem))
        self._programs.append(program)
        return program

    def run(self, script: str, *arguments: object, **expected: Any) -> Program:
        """Runs a program to its end; `expected` as in `Program.finish`."""
        program = self.start(script, *arguments)
        program.let_go()
        return program.finish(**expected)

    def prefect(self, *arguments: str, exit_code: int = 0) -> str:
        """Runs a command of the `prefect` command line, and returns its output."""
        if self._commands is None:
            script = [self._python, str(PROGRAMS / "prefect_commands.py")]
            self._commands = Conversation(script, self._environment)
        path = self._new_path("prefect")
        output_path, log_path = path.with_suffix(".output"), path.with_suffix(".log")
        request = {"arguments": arguments, "output": str(output_path), "log": str(log_path)}
        ended_with = self._commands.ask(request)
        assert ended_with == exit_code, f"exit code {ended_with}"
        if exit_code == 0:
            assert_clean(log_path.read_text())
        return output_path.read_text()

    def session(self, flavour: str) -> ClientSession:
        """A client object, `sync` or `asyncio`, whose methods the test calls."""
        script = [self._python, str(PROGRAMS / "client_session.py"), flavour]
        return ClientSession(Conversation(script, self._environment))

    def log_paths(self) -> list[Path]:
        """The outputs and logs of the programs, in the order of their start."""
        found = [path for kind in ("output", "log") for path in self._directory.glob(f"*.{kind}")]
        return sorted(found, key=lambda path: path.stem)

    def end_programs(self) -> None:
        """Ends the programs that a failing test left running."""
        for program in self._programs:
            program.kill()
        if self._commands is not None:
            self._commands.end()

    def _new_path(self, name: str) -> Path:
        self._started += 1
        return self._directory / f"{self._started:02}-{name}"


class ClientError(Exception):
    """An exception that a method of the client raised in its process."""

    def __init__(self, kind: str, message: str, status: int | None, body: Any):
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.status = status
        self.body = body


class Conversation:
    """A process that answers each line of JSON with one of its own."""

    def __init__(self, command: list[str], environment: dict[str, str]):
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate(timeout=60)


class ClientSession:
    """A Prefect client object in a process of its own; see `programs/client_session.py`.

    `session.read_concurrency_limit_by_tag(tag="db")` calls that method of the real client.
    """

    def __init__(self, conversation: Conversation):
        self.called: set[str] = set()
        self._conversation = conversation

    def __enter__(self) -> ClientSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._conversation.end()

    def limit_methods(self) -> set[str]:
        """The names of all methods for limits in this version of the client."""
        return set(self._call("limit_methods", {}))

    def __getattr__(self, method: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.called.add(method)
            return self._call(method, arguments)

        return call

    def _call(self, method: str, arguments: dict[str, Any]) -> Any:
        answer = self._conversation.ask({"method": method, "arguments": arguments})
        if "error" in answer:
            raise ClientError(**answer["error"])
        return answer["result"]


def assert_clean(log: str) -> None:
    """Asserts that a client logged nothing about its server."""
    complaints = NOISE.sub("", log)
    assert not complaints, f"the client complains:\n{complaints}"


def some_id() -> str:
    return str(uuid.uuid4())
