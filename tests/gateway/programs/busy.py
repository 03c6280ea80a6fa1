"""A flow that takes a tag, a global limit and a rate, and prints when it enters and leaves each.

`busy.py OUTCOME TAG LIMIT RATE`: OUTCOME is `succeeds`, `fails`, or `hangs`, which takes the global
limit alone and holds it until the program is killed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prefect import flow, task
from prefect.concurrency.sync import concurrency, rate_limit

outcome, tag, limit, rate = sys.argv[1:]

LEASE_SECONDS = 60
"""The shortest that a Prefect server grants."""


def say(what: str, name: str) -> None:
    sys.stdout.write(f"{what} {name} {time.monotonic()}\n")
    sys.stdout.flush()


@contextmanager
def inside(name: str) -> Iterator[None]:
    say("enters", name)
    yield
    say("leaves", name)


@task(tags=[tag])
def tagged() -> None:
    with inside(f"tag:{tag}"):
        time.sleep(0.2)


@flow
def busy() -> None:
    if outcome != "hangs":
        tagged()
    with concurrency(limit, lease_duration=LEASE_SECONDS), inside(limit):
        time.sleep(3_600 if outcome == "hangs" else 0.2)
    say("asks", rate)
    rate_limit(rate)
    say("passes", rate)
    if outcome == "fails":
        raise ValueError("as it should")


busy()
