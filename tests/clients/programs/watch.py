"""Reports on a flow run as a supervisor of programs does: it crashed, was cancelled, or lives.

    watch.py crashed <flow run>     sets the state of a flow run whose process was lost
    watch.py cancelled <flow run>   sets the state of a flow run whose process was ended
    watch.py heartbeat <flow run>   sends one heartbeat of a flow run, as a runner does
"""

from __future__ import annotations

import asyncio
import sys

what, flow_run_id = sys.argv[1:]


async def over() -> None:
    from prefect import get_client
    from prefect.states import Cancelled, Crashed

    state = Crashed if what == "crashed" else Cancelled
    async with get_client() as client:
        await client.set_flow_run_state(flow_run_id, state(message="its process is gone"))


def heartbeat() -> None:
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker

    emit_event(
        event="prefect.flow-run.heartbeat",
        resource={"prefect.resource.id": f"prefect.flow-run.{flow_run_id}"},
    )
    EventsWorker.instance().drain()


if what == "heartbeat":
    heartbeat()
else:
    asyncio.run(over())
print("told", flush=True)
