"""The `prefect` command line, imported once and forked for each command that it reads.

Its start takes seconds of processor time, nearly all of them for imports. After the imports, each
command runs as in a new process. Each line of the input names the arguments and the files for the
output, in JSON. Each line of the output is an exit code.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import entry_points

(command,) = entry_points(group="console_scripts", name="prefect")
main = command.load()


def become(request: dict[str, list[str] | str]) -> None:
    """Turns this process into the one for a command."""
    for descriptor, path in enumerate([os.devnull, request["output"], request["log"]]):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(path, flags), descriptor)
    sys.argv = [os.path.join(os.path.dirname(sys.executable), "prefect"), *request["arguments"]]
    sys.exit(main())


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        become(json.loads(line))
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
