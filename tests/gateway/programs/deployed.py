"""A flow that holds a slot of a global limit. Its deployment has a limit of one run.

`deployed.py serve NAME STRATEGY` serves it until the program is killed. `deployed.py deploy NAME
STRATEGY POOL` deploys it to a work pool, and ends.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run

RETRY_SECONDS = 45
"""Longer than the lease of a deployment's run, which a test sets to 30 s."""


@flow
def holding(limit: str, seconds: float) -> None:
    with concurrency(limit, strict=True):
        time.sleep(seconds)


@flow(retries=1, retry_delay_seconds=RETRY_SECONDS)
def failing_once(limit: str, seconds: float) -> None:
    with concurrency(limit, strict=True):
        time.sleep(seconds)
    if flow_run.run_count == 1:
        raise ValueError("as it should")


if __name__ == "__main__":
    how, name, strategy, *rest = sys.argv[1:]
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=strategy)
    if how == "serve":
        flow_of = failing_once if rest == ["failing_once"] else holding
        flow_of.serve(name=name, global_limit=one, print_starting_message=False)
    else:
        script = Path(__file__)
        loaded = holding.from_source(str(script.parent), f"{script.name}:holding")
        loaded.deploy(name=name, work_pool_name=rest[0], concurrency_limit=one)
