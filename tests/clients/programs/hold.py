"""Holds slots of global limits until its input ends.

Prints `acquired` and `released`, or `refused` with the error.
"""

from __future__ import annotations

import argparse
import asyncio
import select
import sys
import time

from prefect.concurrency.asyncio import concurrency as concurrency_async
from prefect.concurrency.sync import concurrency

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("flavour", choices=["sync", "asyncio"])
parser.add_argument("names", nargs="+")
parser.add_argument("--occupy", type=int)
parser.add_argument("--timeout-seconds", type=float)
parser.add_argument("--max-retries", type=int)
parser.add_argument("--lease-duration", type=float)
parser.add_argument("--strict", action="store_true", default=None)
parser.add_argument("--hold-seconds", type=float, default=float("inf"))


def go_on() -> bool:
    input_ended = bool(select.select([sys.stdin], [], [], 0)[0])
    return not input_ended and time.monotonic() < hold_until


def hold() -> None:
    with concurrency(arguments.names, **options):
        print("acquired", flush=True)
        while go_on():
            time.sleep(0.02)
    print("released", flush=True)


async def hold_async() -> None:
    async with concurrency_async(arguments.names, **options):
        print("acquired", flush=True)
        while go_on():
            await asyncio.sleep(0.02)
    print("released", flush=True)


arguments = parser.parse_args()
hold_until = time.monotonic() + arguments.hold_seconds
options = {
    name: value
    for name, value in vars(arguments).items()
    if name not in ("flavour", "names", "hold_seconds") and value is not None
}

try:
    if arguments.flavour == "sync":
        hold()
    else:
        asyncio.run(hold_async())
except Exception as error:
    print(f"refused {type(error).__name__}: {error}", flush=True)
    cause = error.__cause__
    print(f"because {type(cause).__name__}: {cause}".replace("\n", " "), flush=True)
    sys.exit(3)
