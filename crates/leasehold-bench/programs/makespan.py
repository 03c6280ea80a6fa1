"""Runs tasks that each hold a slot for a while, as many at once as the limit lets.

Prints `ready`, waits for a line, runs, and prints `ran FROM TO` in monotonic seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time

from prefect.concurrency.asyncio import concurrency

name, tasks, held_seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])


async def hold() -> None:
    async with concurrency(name, occupy=1):
        await asyncio.sleep(held_seconds)


async def run() -> None:
    since = time.monotonic()
    await asyncio.gather(*(hold() for _ in range(tasks)))
    print(f"ran {since} {time.monotonic()}", flush=True)


print("ready", flush=True)
sys.stdin.readline()
asyncio.run(run())
