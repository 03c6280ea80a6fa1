"""Holds slots of tags for a task run, by the tag API's own context manager, until its input ends.

Prints `acquired` and `released`, or `refused` with the error.
"""

from __future__ import annotations

import asyncio
import select
import sys
import time
from uuid import UUID

from prefect.concurrency.v1.asyncio import concurrency as concurrency_async
from prefect.concurrency.v1.sync import concurrency

flavour, task_run_id, timeout, tags = sys.argv[1], UUID(sys.argv[2]), sys.argv[3], sys.argv[4:]
timeout_seconds = None if timeout == "forever" else float(timeout)


def input_ended() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def hold() -> None:
    with concurrency(tags, task_run_id=task_run_id, timeout_seconds=timeout_seconds):
        print("acquired", flush=True)
        while not input_ended():
            time.sleep(0.02)
    print("released", flush=True)


async def hold_async() -> None:
    async with concurrency_async(tags, task_run_id=task_run_id, timeout_seconds=timeout_seconds):
        print("acquired", flush=True)
        while not input_ended():
            await asyncio.sleep(0.02)
    print("released", flush=True)


try:
    if flavour == "sync":
        hold()
    else:
        asyncio.run(hold_async())
except Exception as error:
    print(f"refused {type(error).__name__}: {error}", flush=True)
    print(f"because {type(error.__cause__).__name__}: {error.__cause__}".replace("\n", " "))
    sys.exit(3)
