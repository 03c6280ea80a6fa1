"""Prints each event that the client's subscriber is told: `event`, its kind and its resource."""

from __future__ import annotations

import asyncio
import sys

from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter

(prefix,) = sys.argv[1:]


async def subscribe() -> None:
    wanted = EventFilter(event=EventNameFilter(prefix=[prefix]))
    async with get_events_subscriber(filter=wanted) as subscriber:
        print("subscribed", flush=True)
        async for event in subscriber:
            print(f"event {event.event} {event.resource.name}", flush=True)


asyncio.run(subscribe())
