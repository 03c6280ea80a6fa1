"""What a Prefect server serves and this one does not, as programs use it. The first argument names
one. Prints `result`, or `refused` with the client's error.
"""

from __future__ import annotations

import sys

from prefect import flow, pause_flow_run, suspend_flow_run, task
from prefect.context import FlowRunContext
from prefect.variables import Variable


@task
def work() -> int:
    return 1


def delays() -> object:
    return work.delay()


@flow
def reads_a_variable() -> object:
    return Variable.get("batch_size", default=10)


@flow
def pauses() -> str:
    print(f"flow-run {FlowRunContext.get().flow_run.id}", flush=True)
    pause_flow_run(timeout=60, poll_interval=1)
    return "went on"


@flow
def suspends() -> object:
    return suspend_flow_run(timeout=60)


@flow
def waits_for_input() -> object:
    return pause_flow_run(wait_for_input=str, timeout=60, poll_interval=1)


if __name__ == "__main__":
    try:
        print(f"result {globals()[sys.argv[1]]()}", flush=True)
    except Exception as refusal:
        print(f"refused {' '.join(str(refusal).split())}", flush=True)
