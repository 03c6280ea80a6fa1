"""The programs of Prefect's guide to global concurrency and rate limits, as a user would run them.

Prints `began` and `ended` with a time around each piece of work, `asked` and `request` around each
wait for a rate limit, and `result` at the end.
"""

from __future__ import annotations

import asyncio
import sys
import time

from prefect import flow, task
from prefect.concurrency.asyncio import concurrency as concurrency_async
from prefect.concurrency.sync import concurrency, rate_limit


def say(line: str) -> None:
    # In one write, because several threads print.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def work(what: object) -> None:
    say(f"began {time.time()} {what}")
    time.sleep(0.2)
    say(f"ended {time.time()} {what}")


@task
def process_data(x: int, y: int) -> int:
    with concurrency("database", occupy=1):
        work((x, y))
        return x + y


@flow
def tasks() -> list[int]:
    futures = [process_data.submit(x, y) for x, y in [(1, 2), (2, 3), (3, 4), (4, 5)]]
    return [future.result() for future in futures]


@task
async def process_data_async(x: int, y: int) -> int:
    async with concurrency_async("database", occupy=1):
        say(f"began {time.time()} {x}")
        await asyncio.sleep(0.2)
        say(f"ended {time.time()} {x}")
        return x + y


@flow
async def in_asyncio() -> list[int]:
    pairs = [(1, 2), (2, 3), (3, 4), (4, 5)]
    return list(await asyncio.gather(*(process_data_async(x, y) for x, y in pairs)))


@task
def make_http_request() -> int:
    say(f"asked {time.time()}")
    rate_limit("rate-limited-api")
    say(f"request {time.time()}")
    return 1


@flow
def rate_limited() -> int:
    futures = [make_http_request.submit() for _ in range(10)]
    return sum(future.result() for future in futures)


@task
def submitted() -> int:
    return 1


@flow
def throttled() -> int:
    futures = []
    for _ in range(10):
        say(f"asked {time.time()}")
        rate_limit("rate-limited-api")
        say(f"request {time.time()}")
        futures.append(submitted.submit())
    return sum(future.result() for future in futures)


@task
def process_item(item: int) -> int:
    work(item)
    return item


@flow
def five_at_a_time() -> int:
    items, done = list(range(15)), []
    while items:
        with concurrency("data-processing", occupy=5):
            futures = [process_item.submit(items.pop()) for _ in range(5)]
            done += [future.result() for future in futures]
    return sum(done)


def outside_a_flow() -> str:
    rate_limit("rate-limited-api")
    with concurrency("database", occupy=1):
        work("outside")
    return "done"


if __name__ == "__main__":
    program = globals()[sys.argv[1]]
    result = program()
    if asyncio.iscoroutine(result):
        result = asyncio.run(result)
    print(f"result {result}", flush=True)
