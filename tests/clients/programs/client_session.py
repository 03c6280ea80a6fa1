"""A Prefect client object, `sync` or `asyncio`, that calls the methods that it reads.

Each line of the input is a method with its arguments, in JSON. Each line of the output is what the
method returned or raised.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.client.orchestration._concurrency_limits import client as limit_methods
from prefect.client.schemas import actions, objects
from pydantic import BaseModel

ARGUMENT_TYPES: dict[tuple[str, str], Any] = {
    (
        "create_global_concurrency_limit",
        "concurrency_limit",
    ): actions.GlobalConcurrencyLimitCreate,
    (
        "update_global_concurrency_limit",
        "concurrency_limit",
    ): actions.GlobalConcurrencyLimitUpdate,
    ("increment_concurrency_slots_with_lease", "holder"): getattr(
        objects, "ConcurrencyLeaseHolder", None
    ),
}
"""The arguments that are objects of the client, not plain values."""


def as_json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, httpx.Response):
        body = value.json() if value.content else None
        return {"status": value.status_code, "headers": dict(value.headers), "body": body}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def typed(method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        name: ARGUMENT_TYPES[method, name](**value)
        if (method, name) in ARGUMENT_TYPES and value is not None
        else value
        for name, value in arguments.items()
    }


def error_answer(error: Exception) -> dict[str, Any]:
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    status, body = None, None
    if response is not None:
        status = response.status_code
        body = response.json() if response.content else None
    kind = type(error).__name__
    return {"error": {"kind": kind, "message": str(error), "status": status, "body": body}}


async def answer(client: Any, request: dict[str, Any]) -> dict[str, Any]:
    method = request["method"]
    if method == "limit_methods":
        owner = limit_methods.ConcurrencyLimitClient
        return {"result": [name for name in vars(owner) if not name.startswith("_")]}
    try:
        result = getattr(client, method)(**typed(method, request["arguments"]))
        if inspect.isawaitable(result):
            result = await result
    except Exception as error:
        return error_answer(error)
    return {"result": as_json(result)}


async def main() -> None:
    if sys.argv[1] == "sync":
        with get_client(sync_client=True) as client:
            await serve(client)
    else:
        async with get_client() as client:
            await serve(client)


async def serve(client: Any) -> None:
    for line in sys.stdin:
        print(json.dumps(await answer(client, json.loads(line))), flush=True)


asyncio.run(main())
