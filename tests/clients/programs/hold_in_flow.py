"""Holds a slot of a global limit within a flow, or within a task of it, until its input ends.

Prints `flow_run` and `task_run` with their ids, then `acquired`.
"""

from __future__ import annotations

import sys

from prefect import flow, task
from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext, TaskRunContext


def hold() -> None:
    print("flow_run", FlowRunContext.get().flow_run.id, flush=True)
    run = TaskRunContext.get()
    print("task_run", run.task_run.id if run else None, flush=True)
    with concurrency("database"):
        print("acquired", flush=True)
        sys.stdin.read()


@task
def hold_in_task() -> None:
    FlowRunContext.get()
    hold()


@flow(name="nightly")
def holding(where: str) -> None:
    if where == "task":
        hold_in_task()
    else:
        hold()


holding(sys.argv[1])
