"""What the gateway passes on: pages, requests, settings."""

from __future__ import annotations

import httpx

from leasehold_server import LeaseholdServer
from prefect_server import PrefectServer


def origin(gateway: LeaseholdServer) -> str:
    return gateway.api_url.removesuffix("/api")


def test_the_pages_of_prefect_load_through_the_gateway(
    prefect: PrefectServer, gateway: LeaseholdServer
) -> None:
    browser = {"accept": "text/html", "accept-language": "en", "sec-fetch-site": "none"}
    page = httpx.get(f"{origin(gateway)}/", headers=browser, follow_redirects=True)
    assert page.status_code == 200 and "<html" in page.text
    assert str(page.url).startswith(origin(gateway))


def test_the_pages_are_told_the_address_that_the_browser_used(
    prefect: PrefectServer, gateway: LeaseholdServer
) -> None:
    directly = httpx.get(f"{prefect.url}/ui-settings").json()
    through = httpx.get(f"{origin(gateway)}/ui-settings").json()
    assert through["api_url"] == gateway.api_url
    assert through == {**directly, "api_url": gateway.api_url}


def test_a_redirect_names_the_gateway(prefect: PrefectServer, gateway: LeaseholdServer) -> None:
    moved = gateway.request("POST", "/flows", {"name": "a redirect"})
    assert moved.status_code == 307
    assert moved.headers["location"] == f"{gateway.api_url}/flows/"


def test_an_error_comes_through_as_the_server_gave_it(
    prefect: PrefectServer, gateway: LeaseholdServer
) -> None:
    for method, path, body in [
        ("POST", "/flows/", {"wrong": 1}),
        ("GET", "/flows/00000000-0000-0000-0000-000000000000", None),
        ("GET", "/no/such/path", None),
        ("DELETE", "/hello", None),
    ]:
        directly = prefect.request(method, path, body)
        through = gateway.request(method, path, body)
        assert through.status_code == directly.status_code
        assert through.content == directly.content
        kept = {"content-type", "content-length", "allow"}
        said = {name: directly.headers.get(name) for name in kept}
        assert {name: through.headers.get(name) for name in kept} == said
