"""Acquires a slot again and again, and prints `held FROM TO` each time, in monotonic seconds."""

from __future__ import annotations

import asyncio
import sys
import time

from prefect.concurrency.asyncio import concurrency as concurrency_async
from prefect.concurrency.sync import concurrency

flavour, name, occupy, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
HELD_SECONDS = 0.05


def contend() -> None:
    for _ in range(rounds):
        with concurrency(name, occupy=occupy):
            since = time.monotonic()
            time.sleep(HELD_SECONDS)
            until = time.monotonic()
        print(f"held {since} {until}", flush=True)


async def contend_async() -> None:
    for _ in range(rounds):
        async with concurrency_async(name, occupy=occupy):
            since = time.monotonic()
            await asyncio.sleep(HELD_SECONDS)
            until = time.monotonic()
        print(f"held {since} {until}", flush=True)


if flavour == "sync":
    contend()
else:
    asyncio.run(contend_async())
