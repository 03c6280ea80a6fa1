"""A flow whose task has a tag, and holds until the program's input ends.

The argument is the tag. Prints `task-run ID` and `holding` with the time, then `result`.
"""

from __future__ import annotations

import select
import sys
import time

from prefect import flow, task


@task
def holds() -> str:
    from prefect.context import TaskRunContext

    context = TaskRunContext.get()
    print(f"task-run {context.task_run.id}", flush=True)
    print(f"holding {time.time()}", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        time.sleep(0.02)
    print(f"ending {time.time()}", flush=True)
    return "let go"


@flow
def tagged() -> str:
    print("began", flush=True)
    return holds.with_options(tags=[sys.argv[1]])()


if __name__ == "__main__":
    print(f"result {tagged()}", flush=True)
