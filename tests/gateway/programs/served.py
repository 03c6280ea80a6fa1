"""Serves a flow whose deployment has a concurrency limit, until it is killed.

`served.py NAME SLOTS`
"""

from __future__ import annotations

import sys
import time

from prefect import flow, task


@task
def work() -> None:
    time.sleep(0.5)


@flow
def limited() -> None:
    work()


if __name__ == "__main__":
    limited.serve(name=sys.argv[1], global_limit=int(sys.argv[2]), print_starting_message=False)
