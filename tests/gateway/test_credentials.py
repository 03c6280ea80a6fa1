"""A Prefect server that wants CSRF tokens, and one that is reached over TLS."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from conftest import StartGateway
from leasehold_server import LeaseholdServer
from migrating import migrate
from moving import advance, phase
from prefect_server import PrefectServer
from prefect_user import PrefectUser
from test_runs import events_arrive
from tls_proxy import TlsProxy
from users import MakeUser
from waiting import wait_until


@dataclass
class Named:
    """A Prefect server by its address."""

    api_url: str


def hold_and_let_go(gateway: LeaseholdServer, user: PrefectUser, name: str) -> None:
    holder = user.start("hold.py", "sync", name, "--strict")
    holder.wait_for("acquired")
    assert gateway.active_slots(name) == 1
    holder.let_go()
    holder.finish()
    wait_until(lambda: gateway.active_slots(name) == 0, "it is given back")


def test_clients_send_the_csrf_tokens_of_a_prefect_server_that_wants_them(
    start_prefect: Any, start_gateway: StartGateway, make_user: MakeUser
) -> None:
    prefect = start_prefect(PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED="true")
    gateway = start_gateway(prefect)
    user = make_user(gateway, PREFECT_LOGGING_LEVEL="WARNING")
    name = f"csrf-{uuid.uuid4().hex[:8]}"
    body = {"name": name, "limit": 1}
    # Without a token both refuse: Prefect what is its own, Leasehold what is its own.
    refused = gateway.request("POST", "/v2/concurrency_limits/", body)
    assert refused.status_code == 403, refused.text
    user.prefect("gcl", "create", name, "--limit", "1")
    hold_and_let_go(gateway, user, name)
    moved = migrate("advance", name, LEASEHOLD_API_URL=gateway.api_url)
    assert moved.exit_code == 0, moved.errors
    body = {"names": [name], "slots": 1, "lease_duration": 60}
    refused = gateway.request("POST", "/v2/concurrency_limits/increment-with-lease", body)
    assert refused.status_code == 403, refused.text
    hold_and_let_go(gateway, user, name)

    # The gateway forgets the tokens that it has seen. The client asks for another one.
    holder = user.start("hold.py", "sync", name, "--strict")
    holder.wait_for("acquired")
    gateway.stop()
    gateway.start()
    holder.let_go()
    holder.finish(clean=False)
    wait_until(lambda: gateway.active_slots(name) == 0, "it is given back")


def test_a_prefect_server_is_reached_over_tls(
    prefect: PrefectServer, start_gateway: StartGateway, make_user: MakeUser, tmp_path: Path
) -> None:
    directory = tmp_path / "tls"
    directory.mkdir()
    proxy = TlsProxy(directory, prefect)
    proxy.start()
    gateway = start_gateway(proxy, SSL_CERT_FILE=str(proxy.authority))
    user = make_user(gateway, PREFECT_LOGGING_LEVEL="WARNING")
    name = f"tls-{uuid.uuid4().hex[:8]}"
    user.prefect("gcl", "create", name, "--limit", "1")
    advance(gateway, name)
    hold_and_let_go(gateway, user, name)
    wait_until(lambda: phase(gateway, name) == "leasehold", "nothing is foreign")
    user.run("runs.py", "without_limit")
    events_arrive(prefect)
    html = {"accept": "text/html"}
    url = gateway.api_url.removesuffix("/api") + "/concurrency-limits"
    page = httpx.get(url, headers=html, timeout=60)
    assert page.is_success and "<html" in page.text, page.text[:200]

    named = Named(proxy.named_api_url)
    by_name = start_gateway(named, "--upstream-by-name", SSL_CERT_FILE=str(proxy.authority))
    # Prefect redirects to the path with the slash.
    redirect = by_name.request("POST", "/flows/filter/", {})
    assert redirect.status_code == 307, redirect.text
    assert redirect.headers["location"] == "/api/flows/filter"
    make_user(by_name, PREFECT_LOGGING_LEVEL="WARNING").run("runs.py", "without_limit")
    misled = start_gateway(named, SSL_CERT_FILE=str(proxy.authority))
    assert misled.request("GET", "/flows/count").status_code == 421

    stranger = start_gateway(proxy, SSL_CERT_FILE="/dev/null")
    refused = stranger.request("GET", "/flows/count")
    assert refused.status_code == 502 and "certificate" in refused.text, refused.text
    proxy.stop()
