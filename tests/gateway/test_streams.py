"""What is large or long passes without being collected: the memory stays flat."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import websockets

from conftest import StartGateway
from leasehold_server import LeaseholdServer
from prefect_server import PrefectServer
from waiting import wait_until

CHUNK = b"x" * 65_536
LARGE_BYTES = 1_600 * len(CHUNK)
GROWTH_BYTES_MAX = 32 << 20
EVENTS = 10_000


class Large(BaseHTTPRequestHandler):
    """A server with a download of 100 MB, and an upload of any length."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/api/admin/version":
            self._answer(b'"3.9.1"')
            return
        self.send_response(200)
        self.send_header("content-length", str(LARGE_BYTES))
        self.end_headers()
        for _ in range(LARGE_BYTES // len(CHUNK)):
            self.wfile.write(CHUNK)

    def do_PUT(self) -> None:
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, len(CHUNK))))
        self._answer(b"true")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def large(start_gateway: StartGateway) -> Iterator[LeaseholdServer]:
    """Leasehold in front of a server with large bodies."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Large)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    class Upstream:
        api_url = f"http://127.0.0.1:{server.server_port}/api"

    yield start_gateway(Upstream())
    server.shutdown()


def test_a_download_and_an_upload_of_100_mb_leave_the_memory_flat(large: LeaseholdServer) -> None:
    large.request("GET", "/admin/version")
    before = large.memory_bytes()
    most = before
    with httpx.stream("GET", f"{large.api_url}/large", timeout=60) as response:
        received = 0
        for number, part in enumerate(response.iter_raw()):
            received += len(part)
            if number % 100 == 0:
                most = max(most, large.memory_bytes())
    assert received == LARGE_BYTES
    parts = (CHUNK for _ in range(LARGE_BYTES // len(CHUNK)))
    length = {"content-length": str(LARGE_BYTES)}
    sent = httpx.put(f"{large.api_url}/large", content=parts, headers=length, timeout=60)
    assert sent.json() is True
    most = max(most, large.memory_bytes())
    assert most - before < GROWTH_BYTES_MAX, f"{before} to {most}"


def event(number: int) -> str:
    return json.dumps(
        {
            "id": str(uuid.uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": "gateway.test",
            "resource": {"prefect.resource.id": f"gateway.test.{number}"},
            "related": [],
            "payload": {"number": number},
        }
    )


def test_10000_events_pass_in_one_socket_and_leave_the_memory_flat(
    prefect: PrefectServer, gateway: LeaseholdServer
) -> None:
    url = gateway.api_url.replace("http://", "ws://") + "/events/in"

    async def send(count: int) -> None:
        # The client's own pings give up after 20 s, and a busy server reads events for longer.
        connecting = websockets.connect(url, subprotocols=["prefect"], ping_interval=None)
        async with asyncio.timeout(300), connecting as socket:
            await socket.send(json.dumps({"type": "auth", "token": None}))
            assert json.loads(await socket.recv())["type"] == "auth_success"
            for number in range(count):
                await socket.send(event(number))
            # An answer to this ping has come after all events.
            await (await socket.ping())

    asyncio.run(send(500))
    before = gateway.memory_bytes()
    asyncio.run(send(EVENTS))
    grown = gateway.memory_bytes() - before
    assert grown < GROWTH_BYTES_MAX, f"grown by {grown}"
    ours = "/leasehold/events?kind=gateway.test"
    wait_until(lambda: gateway.request("GET", ours).json()["events"], "the events are logged")
    query = {"filter": {"event": {"name": ["gateway.test"]}}}

    def some_are_kept() -> bool:
        return prefect.request("POST", "/events/filter", query).json()["total"] > 0

    wait_until(some_are_kept, "the Prefect server keeps events")
