"""Prints what the client's subscriber receives: `event`, the filter's number, kind and resource.

Each argument is a filter in JSON. The program subscribes with all of them at the same time.
"""

from __future__ import annotations

import asyncio
import sys

from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter


async def subscribe(number: int, wanted: str) -> None:
    chosen = EventFilter.model_validate_json(wanted)
    async with get_events_subscriber(filter=chosen) as subscriber:
        print("subscribed", flush=True)
        async for event in subscriber:
            print(f"event {number} {event.event} {event.resource.name}", flush=True)


async def subscribe_all() -> None:
    await asyncio.gather(*map(subscribe, range(len(sys.argv) - 1), sys.argv[1:]))


asyncio.run(subscribe_all())
