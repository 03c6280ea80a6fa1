"""Flows and tasks of all kinds. The first argument names one. Prints `result` at the end.

Work prints `began` and `ended` with a time. `hold` waits in a task until the program's input ends.
"""

from __future__ import annotations

import select
import sys
import time

from prefect import flow, task
from prefect.states import Cancelled

attempts = {"task": 0, "flow": 0}


def say(line: str) -> None:
    # In one write, because several threads print.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def input_ended() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


@task(tags=["database"])
def one_tag(number: int) -> int:
    say(f"began {time.time()} {number}")
    time.sleep(0.2)
    say(f"ended {time.time()} {number}")
    return number


@task(tags=["database", "gpu"])
def two_tags(number: int) -> int:
    say(f"began {time.time()} {number}")
    time.sleep(0.2)
    say(f"ended {time.time()} {number}")
    return number


@task(tags=["unlimited"])
def free(number: int) -> int:
    return number


@flow
def tagged() -> list[int]:
    return [future.result() for future in [one_tag.submit(i) for i in range(3)]]


@flow
def tagged_twice() -> list[int]:
    return [future.result() for future in [two_tags.submit(i) for i in range(3)]]


@flow
def without_limit() -> list[int]:
    return [future.result() for future in [free.submit(i) for i in range(5)]]


@flow
def child(number: int) -> int:
    return one_tag(number)


@flow
def subflows() -> list[int]:
    return [child(i) for i in range(2)]


@task(retries=2, retry_delay_seconds=1)
def fails_once() -> int:
    attempts["task"] += 1
    if attempts["task"] == 1:
        raise ValueError("the first attempt fails")
    return attempts["task"]


@flow
def task_retries() -> int:
    return fails_once()


@flow(retries=1, retry_delay_seconds=1)
def flow_retries() -> list[int]:
    attempts["flow"] += 1
    number = one_tag(attempts["flow"])
    if attempts["flow"] == 1:
        raise ValueError("the first attempt fails")
    return [attempts["flow"], number]


@flow
def mapped() -> list[int]:
    return [future.result() for future in one_tag.map([1, 2, 3])]


@task(tags=["database"])
def fails() -> None:
    raise ValueError("as it must")


@flow
def failing() -> None:
    fails()


@flow
def cancelled() -> object:
    one_tag(1)
    return Cancelled(message="enough")


@task(tags=["database"])
def holds() -> str:
    print("holding", flush=True)
    while not input_ended():
        time.sleep(0.02)
    return "let go"


@flow
def hold() -> str:
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    print(f"flow-run {context.flow_run.id}", flush=True)
    return holds()


@flow
def hold_both() -> str:
    """Holds a slot of a global limit, and in a task one of a tag."""
    import inspect

    from prefect.concurrency.sync import concurrency
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    print(f"flow-run {context.flow_run.id}", flush=True)
    has_leases = "lease_duration" in inspect.signature(concurrency).parameters
    with concurrency("license", **({"lease_duration": 3.0} if has_leases else {})):
        return holds()


def bare_task() -> int:
    return one_tag(1)


if __name__ == "__main__":
    print(f"result {globals()[sys.argv[1]]()}", flush=True)
