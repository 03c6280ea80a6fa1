"""The page of the migration in front of a real Prefect server: limits move to and fro by its
buttons, axe finds no violation, and nothing there leads to a change that the upstream would not
see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from conftest import Open
from leasehold_server import LeaseholdServer
from prefect_behind import PrefectBehind
from test_look import HOSTILE, SHOTS, look

LONG = "a-very-long-name-" + "abcdefghij" * 12
PAGE = "/leasehold/migration"


@pytest.fixture
def prefect(tmp_path: Path) -> Iterator[PrefectBehind]:
    directory = tmp_path / "prefect-server"
    directory.mkdir()
    prefect = PrefectBehind(directory)
    try:
        yield prefect.start()
    finally:
        prefect.stop()


@pytest.fixture
def gateway(prefect: PrefectBehind, tmp_path: Path) -> Iterator[LeaseholdServer]:
    server = LeaseholdServer(tmp_path, "--upstream", prefect.api_url).start()
    yield server
    server.stop()


def row(page: Page, name: str):
    named = page.get_by_role("rowheader", name=name, exact=True)
    return page.get_by_role("row").filter(has=named)


def test_limits_move_by_the_buttons_of_the_page(
    prefect: PrefectBehind, gateway: LeaseholdServer, browser: Browser, open_page: Open
):
    """One test: a server of Prefect takes longer to start than all of it."""
    check_that_no_change_is_offered(gateway, open_page)
    fill(prefect)
    page = open_page(gateway.url + PAGE)
    page.set_default_timeout(60_000)
    check_that_limits_move(prefect, gateway, browser, page)
    check_that_a_refusal_says_why(prefect, page)


def fill(prefect: PrefectBehind) -> None:
    for name in ("database", LONG, HOSTILE):
        prefect.send("POST", "/v2/concurrency_limits/", {"name": name, "limit": 2})
    flow = prefect.send("POST", "/flows/", {"name": "nightly"})
    deployment = {"name": "nightly", "flow_id": flow["id"], "concurrency_limit": 2}
    prefect.send("POST", "/deployments/", deployment)


def check_that_limits_move(
    prefect: PrefectBehind, gateway: LeaseholdServer, browser: Browser, page: Page
) -> None:
    expect(row(page, "database")).to_contain_text("Prefect grants", timeout=60_000)
    expect(page.get_by_role("row").filter(has_text="deployment:")).to_contain_text("Stays")

    page.get_by_role("button", name="Take over database").click()
    expect(row(page, "database")).to_contain_text("Leasehold grants", timeout=60_000)
    gateway.acquire("database")
    # What changes appears without a reload.
    expect(row(page, "database")).to_contain_text("1 of 2", timeout=60_000)
    page.get_by_role("button", name="Take over a[U+202E]").click()
    expect(page.get_by_role("row").filter(has_text="{{x}}")).to_contain_text(
        "Leasehold grants", timeout=60_000
    )

    SHOTS.mkdir(parents=True, exist_ok=True)
    beside = {"migration": PAGE, "beside": "/leasehold", "beside-rates": "/leasehold/rates"}
    for theme, width in (("light", 1600), ("dark", 360)):
        found = look(gateway, browser, beside, theme, width)
        assert not found, "\n".join(found)

    page.get_by_role("button", name="Give back database").click()
    expect(page.get_by_role("button", name="Take over database")).to_be_visible(timeout=60_000)
    # Prefect counts the lease that is held here.
    assert prefect.send("GET", "/v2/concurrency_limits/database")["active_slots"] == 1


def check_that_no_change_is_offered(gateway: LeaseholdServer, open_page: Open) -> None:
    page = open_page(gateway.url + "/leasehold")
    expect(page.get_by_text("Prefect’s own pages")).to_be_visible()
    for name in ("New limit", "Make the first one"):
        expect(page.get_by_role("link", name=name)).to_have_count(0)
    expect(page.get_by_role("switch")).to_have_count(0)
    page.get_by_role("main").get_by_role("link", name="Migration").click()
    expect(page.get_by_role("heading", name="Migration")).to_be_visible()


def check_that_a_refusal_says_why(prefect: PrefectBehind, page: Page) -> None:
    take_over = page.get_by_role("button", name="Take over database")
    expect(take_over).to_be_visible()
    prefect.stop()
    take_over.click()
    expect(page.get_by_role("heading", name="It did not move")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Back to the migration").click()
    expect(page.get_by_text("no: what follows is what was seen last")).to_be_visible()
