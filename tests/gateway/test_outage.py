"""The upstream stops, freezes and comes back."""

from __future__ import annotations

import httpx

from conftest import MakeUser, StartGateway, StartPrefect
from leasehold_server import LeaseholdServer
from waiting import wait_until


def ready(gateway: LeaseholdServer) -> dict[str, str]:
    answer = httpx.get(gateway.api_url.removesuffix("/api") + "/ready", timeout=10)
    assert answer.status_code == 200
    return answer.json()


def test_an_upstream_that_stops_freezes_and_comes_back(
    start_prefect: StartPrefect, start_gateway: StartGateway, make_user: MakeUser
) -> None:
    prefect = start_prefect()
    gateway = start_gateway(prefect)
    assert ready(gateway) == {"leasehold": "ok", "upstream": "ok"}
    version = gateway.request("GET", "/admin/version").json()

    prefect.freeze()
    for _ in range(4):
        # Without an answer from memory, the request would end here with a timeout.
        assert gateway.request("GET", "/admin/version").json() == version
    assert gateway.request("GET", "/csrf-token?client=me").status_code == 422
    # Until it has answered nothing for ten seconds, it is slow.
    wait_until(lambda: "no answer" in ready(gateway)["upstream"], "it is silent")
    prefect.thaw()
    wait_until(lambda: ready(gateway)["upstream"] == "ok", "the upstream is well again")

    prefect.kill()
    refused = gateway.request("POST", "/flows/", {"name": "etl"})
    assert refused.status_code == 502 and refused.headers["retry-after"] == "2"
    assert "cannot be reached" in refused.json()["exception_message"]
    assert gateway.request("GET", "/admin/version").json() == version
    assert gateway.request("GET", "/leasehold/events").status_code == 200

    prefect.start()
    program = make_user(gateway, PREFECT_LOGGING_LEVEL="WARNING").run("runs.py", "without_limit")
    assert program.lines("result")
