"""A PostgreSQL server on a free port, with a database for one Prefect server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from prefect_server import free_port

DEBIAN = Path("/usr/lib/postgresql")


class PostgresServer:
    """One cluster in a directory of its own. It refuses to run as root, so it runs as `nobody`, who
    may not enter the directories of pytest."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="leasehold-postgres-"))
        self._directory.chmod(0o755)
        self._data = self._directory / "data"
        self._log = self._directory / "log"
        self.port = free_port()
        self._user = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
        if os.geteuid() != 0:
            self._user = []

    @property
    def address(self) -> str:
        return f"prefect:secret@127.0.0.1:{self.port}/prefect"

    @property
    def prefect_url(self) -> str:
        return f"postgresql+asyncpg://{self.address}"

    def start(self) -> None:
        self._data.mkdir(mode=0o700)
        password = self._data.with_suffix(".password")
        password.write_text("secret")
        self._log.touch()
        if self._user:
            for path in (self._data, password, self._log):
                shutil.chown(path, "nobody", "nogroup")
        self._run("initdb", "--username=prefect", "--auth=scram-sha-256", "--no-sync",
                  "--pwfile", password)  # fmt: skip
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "start", "--wait", "--log", self._log, "--options", options)
        create = [program("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "prefect"]
        subprocess.run([*create, "prefect"], check=True, env=os.environ | {"PGPASSWORD": "secret"})

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--mode", "immediate")
        shutil.rmtree(self._directory)

    def _run(self, name: str, *arguments: object) -> None:
        command = [*self._user, program(name), "-D", str(self._data), *map(str, arguments)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/"
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"


def program(name: str) -> str:
    """Where a program of PostgreSQL is: Debian keeps it out of the path."""
    found = shutil.which(name)
    versions = sorted(DEBIAN.glob(f"*/bin/{name}"))
    assert found or versions, f"{name} is not there; install PostgreSQL"
    return found or str(versions[-1])
