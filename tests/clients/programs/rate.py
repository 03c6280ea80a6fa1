"""Passes a rate limit again and again.

Prints `passed FROM TO` for each time, in monotonic seconds: the grant came in between. Or prints
`refused` with the error.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from prefect.concurrency.asyncio import rate_limit as rate_limit_async
from prefect.concurrency.sync import rate_limit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("flavour", choices=["sync", "asyncio"])
parser.add_argument("names", nargs="+")
parser.add_argument("--times", type=int, default=1)
parser.add_argument("--occupy", type=int)
parser.add_argument("--timeout-seconds", type=float)
parser.add_argument("--strict", action="store_true", default=None)


def pass_often() -> None:
    for _ in range(arguments.times):
        since = time.monotonic()
        rate_limit(arguments.names, **options)
        print(f"passed {since} {time.monotonic()}", flush=True)


async def pass_often_async() -> None:
    for _ in range(arguments.times):
        since = time.monotonic()
        await rate_limit_async(arguments.names, **options)
        print(f"passed {since} {time.monotonic()}", flush=True)


arguments = parser.parse_args()
options = {
    name: value
    for name, value in vars(arguments).items()
    if name not in ("flavour", "names", "times") and value is not None
}

try:
    if arguments.flavour == "sync":
        pass_often()
    else:
        asyncio.run(pass_often_async())
except Exception as error:
    print(f"refused {type(error).__name__}: {error}", flush=True)
    print(f"because {type(error.__cause__).__name__}: {error.__cause__}".replace("\n", " "))
    sys.exit(3)
