"""Tries to acquire a slot, and tries again after each of some pauses, without ever waiting for it.

Prints for each attempt that the server refused it and after how many seconds, or `too long` if the
server held it open.
"""

from __future__ import annotations

import sys
import time

from prefect.concurrency.sync import concurrency

limit, *pauses = sys.argv[1:]
for pause in [0.0, *map(float, pauses)]:
    time.sleep(pause)
    since = time.monotonic()
    try:
        with concurrency(limit, max_retries=0):
            print("acquired", flush=True)
    except Exception as error:
        seconds = time.monotonic() - since
        print(f"refused after {seconds:.3f} s: {type(error).__name__}", flush=True)
        if seconds > 10:
            print("too long", flush=True)
