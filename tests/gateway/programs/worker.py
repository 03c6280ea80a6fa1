"""A process worker of a work pool, until it is killed."""

from __future__ import annotations

import asyncio
import sys

from prefect.workers import ProcessWorker

asyncio.run(ProcessWorker(work_pool_name=sys.argv[1]).start())
