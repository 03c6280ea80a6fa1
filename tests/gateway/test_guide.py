"""The commands of docs/migrate-from-prefect.md, word for word.

They name fixed ports, so they run in a network of their own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from leasehold_server import BINARY, ROOT, without_settings

GUIDE = ROOT / "docs" / "migrate-from-prefect.md"
UNSHARE = ["unshare", "--map-root-user", "--net"]

BEGIN = """
import fcntl, os, socket, struct, subprocess, sys
# The loopback device of a new network is down.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
sys.exit(subprocess.call(["bash", "-eu", sys.argv[1]]))
"""


def blocks() -> list[str]:
    """The shell commands of the guide, in their order."""
    return re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def script(python: str) -> str:
    lines = [
        "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT",
        f"{python} -m prefect server start > prefect.log 2>&1 &",
        "until curl -fs http://127.0.0.1:4200/api/health > /dev/null; do sleep 0.2; done",
        "curl -fs -H 'content-type: application/json' -o /dev/null"
        " http://127.0.0.1:4200/api/v2/concurrency_limits/"
        " -d '{\"name\":\"database\",\"limit\":2}'",
    ]
    for block in blocks():
        for line in block.splitlines():
            if line.startswith("leasehold server start"):
                lines.append(f"{line} > server.log 2>&1 &")
                ready = "until curl -fs http://127.0.0.1:4201/ready > /dev/null; do sleep 0.2; done"
                lines.append(ready)
            elif line.startswith("leasehold"):
                # A dry run says with its exit code that there is something to do.
                lines.append(f"code=0; {line} >> output.log 2>&1 || code=$?")
                lines.append(f"echo \"$code {line}\" >> codes.log")
                lines.append(
                    "curl -fs http://127.0.0.1:4201/api/leasehold/migration >> phases.log;"
                    " echo >> phases.log"
                )
            else:
                lines.append(line)
    return "\n".join(lines) + "\n"


def test_the_commands_of_the_guide_do_what_it_says(tmp_path: Path) -> None:
    if subprocess.run([*UNSHARE, "true"], capture_output=True).returncode != 0:
        pytest.fail("this machine allows no network namespaces: run the tests as root")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "leasehold").symlink_to(BINARY)
    (tmp_path / "guide.sh").write_text(script(sys.executable))
    environment = without_settings(os.environ) | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [*UNSHARE, sys.executable, "-c", BEGIN, str(tmp_path / "guide.sh")]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180
    )
    logs = {path.name: path.read_text() for path in sorted(tmp_path.glob("*.log"))}
    assert ran.returncode == 0, f"{ran.stderr}\n{logs}"
    codes = [line.split(" ", 1) for line in logs["codes.log"].splitlines()]
    for code, line in codes:
        allowed = {"0", "2"} if "--dry-run" in line else {"0"}
        assert code in allowed, f"{line} ended with {code}\n{logs}"
    phases = [
        {limit["name"]: limit["phase"] for limit in json.loads(line)["limits"]}.get("database")
        for line in logs["phases.log"].splitlines()
        if line
    ]
    assert phases[0] == "upstream" and "leasehold" in phases, phases
    assert phases[-1] in ("returning", "upstream"), phases
