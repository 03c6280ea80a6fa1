"""Prefect's own pages, both generations, through the gateway in a real browser."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from leasehold_server import LeaseholdServer
from moving import LIMITS, TAGS, advance, phase
from postgres_server import PostgresServer
from prefect_server import PrefectServer
from waiting import wait_until

# Prefect's pages load for seconds on a busy machine.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        # The tests may run as root in a container, where Chromium has no sandbox.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Pages:
    """The pages of one generation. What they ask of the API must go to the gateway, and succeed."""

    def __init__(self, page: Page, gateway: LeaseholdServer, base: str):
        self.page = page
        self._origin = gateway.api_url.removesuffix("/api")
        self._base = base
        self.is_first = base == ""
        self.faults: list[str] = []
        page.set_default_timeout(60_000)
        page.on("response", self._check)

    def _check(self, response: Any) -> None:
        if "/api/" not in response.url or response.url.startswith("blob:"):
            return
        if not response.url.startswith(self._origin) or response.status >= 400:
            self.faults.append(f"{response.status} {response.request.method} {response.url}")

    def open(self, path: str) -> Page:
        self.page.goto(f"{self._origin}{self._base}{path}", wait_until="domcontentloaded")
        return self.page

    def row(self, name: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=name)

    def choose(self, row: Locator, action: str) -> Locator:
        """Opens the menu of a row, and the dialog that one of its entries leads to."""
        row.get_by_role("button").last.click()
        kind = "button" if self.is_first else "menuitem"
        self.page.get_by_role(kind, name=action, exact=True).last.click()
        return self.page.get_by_role("dialog")


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server whose lists have what these tests make and nothing else, on PostgreSQL: with SQLite
    it answers what a page changes with 503 now and then."""
    database = PostgresServer()
    database.start()
    settings = {"PREFECT_API_DATABASE_CONNECTION_URL": database.prefect_url}
    server = PrefectServer(tmp_path_factory.mktemp("prefect-of-pages"), **settings)
    server.start()
    yield server
    server.stop()
    database.stop()


@pytest.fixture(params=["", "/v2"], ids=["first", "second"])
def pages(
    request: pytest.FixtureRequest, browser: Browser, gateway: LeaseholdServer
) -> Iterator[Pages]:
    context = browser.new_context(viewport={"width": 1_300, "height": 900})
    pages = Pages(context.new_page(), gateway, request.param)
    yield pages
    context.close()
    assert pages.faults == []


def hold(gateway: LeaseholdServer, name: str) -> None:
    body = {"names": [name], "slots": 1, "lease_duration": 300}
    held = gateway.request("POST", f"{LIMITS}/increment-with-lease", body)
    assert held.is_success, held.text


def test_a_global_limit_is_made_seen_edited_switched_reset_and_deleted(
    gateway: LeaseholdServer, prefect: PrefectServer, pages: Pages
) -> None:
    name = f"page-{uuid.uuid4().hex[:8]}"
    page = pages.open("/concurrency-limits")
    page.get_by_role("tabpanel").get_by_role("button").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").first.fill(name)
    dialog.get_by_role("spinbutton").first.fill("2")
    dialog.get_by_role("button", name=re.compile("^(Save|Create|Add)$")).last.click()
    expect(pages.row(name)).to_be_visible()
    assert gateway.limit(name)["limit"] == prefect.limit(name)["limit"] == 2

    advance(gateway, name)
    hold(gateway, name)
    pages.open("/concurrency-limits")
    cells = pages.row(name).get_by_role("cell")
    expect(cells.nth(1)).to_have_text("2")
    expect(cells.nth(2)).to_have_text("1")

    dialog = pages.choose(pages.row(name), "Edit")
    dialog.get_by_role("spinbutton").first.fill("4")
    dialog.get_by_role("button", name=re.compile("^(Save|Update)$")).click()
    expect(pages.row(name).get_by_role("cell").nth(1)).to_have_text("4")
    # The dialog sends how many slots it believes to be taken: the lease stays.
    assert (gateway.limit(name)["limit"], gateway.active_slots(name)) == (4, 1)
    assert prefect.limit(name)["limit"] == 4

    switch = pages.row(name).get_by_role("switch")
    for is_active in (False, True):
        # By the keyboard: a message of the page may lie above it.
        switch.press("Space")
        expect(switch).to_be_checked(checked=is_active)
        wait_until(lambda wanted=is_active: gateway.limit(name)["active"] == wanted, "it switches")

    dialog = pages.choose(pages.row(name), "Reset")
    dialog.get_by_role("button", name="Reset").click()
    wait_until(lambda: gateway.active_slots(name) == 0, "its lease is revoked")
    assert phase(gateway, name) == "leasehold"

    dialog = pages.choose(pages.row(name), "Delete")
    dialog.get_by_role("button", name="Delete").click()
    expect(pages.row(name)).to_have_count(0)
    for server in (gateway, prefect):
        assert server.request("GET", f"{LIMITS}/{name}").status_code == 404


def task_run(server: LeaseholdServer, suffix: str) -> str:
    def made(path: str, body: Any) -> str:
        response = server.request("POST", path, body)
        assert response.is_success, response.text
        return response.json()["id"]

    running = {"type": "RUNNING", "name": "Running"}
    flow = made("/flows/", {"name": f"flow-{suffix}"})
    flow_run = made("/flow_runs/", {"flow_id": flow, "name": f"run-{suffix}", "state": running})
    body = {"flow_run_id": flow_run, "task_key": "t", "dynamic_key": suffix, "state": running}
    return made("/task_runs/", body | {"name": f"task-{suffix}"})


def test_the_page_of_a_tag_shows_the_task_run_that_holds_its_slot(
    gateway: LeaseholdServer, pages: Pages
) -> None:
    suffix = uuid.uuid4().hex[:8]
    tag = f"tag-{suffix}"
    gateway.create_tag_limit(tag, 2)
    advance(gateway, f"tag:{tag}")
    run = task_run(gateway, suffix)
    taken = gateway.request("POST", f"{TAGS}/increment", {"names": [tag], "task_run_id": run})
    assert taken.is_success, taken.text

    page = pages.open("/concurrency-limits")
    page.get_by_text("Task Run", exact=True).click()
    page.get_by_text(tag, exact=True).first.click()
    expect(page.get_by_text(f"task-{suffix}")).to_be_visible()
    expect(page.get_by_text(f"run-{suffix}", exact=True)).to_be_visible()

    page = pages.open("/concurrency-limits")
    page.get_by_text("Task Run", exact=True).click()
    dialog = pages.choose(pages.row(tag), "Reset")
    dialog.get_by_role("button", name="Reset").click()
    wait_until(lambda: gateway.tag_holders(tag) == [], "the task run loses its slot")
    dialog = pages.choose(pages.row(tag), "Delete")
    dialog.get_by_role("button", name="Delete").click()
    expect(pages.row(tag)).to_have_count(0)


def test_a_deployment_is_given_a_limit_of_prefect_s_and_none_of_ours(
    gateway: LeaseholdServer, pages: Pages
) -> None:
    if pages.is_first:
        pytest.skip("its form chooses no global limit")
    suffix = uuid.uuid4().hex[:8]
    theirs = gateway.create_limit(f"theirs-{suffix}", 2)
    gateway.create_limit(f"ours-{suffix}", 2)
    advance(gateway, f"ours-{suffix}")
    flow = gateway.request("POST", "/flows/", {"name": f"flow-{suffix}"}).json()["id"]
    body = {"name": suffix, "flow_id": flow}
    deployment = gateway.request("POST", "/deployments/", body).json()["id"]

    def limit_of_the_deployment() -> str | None:
        found = gateway.request("GET", f"/deployments/{deployment}").json()
        return (found["global_concurrency_limit"] or {}).get("id")

    def choose(name: str) -> None:
        page = pages.open(f"/deployments/deployment/{deployment}/edit")
        page.get_by_role("button", name="Select a global concurrency limit").or_(
            page.get_by_role("button", name=f"theirs-{suffix}")
        ).click()
        page.get_by_role("option", name=name).click()
        page.get_by_role("button", name="Save").click()

    choose(f"theirs-{suffix}")
    wait_until(lambda: limit_of_the_deployment() == theirs["id"], "the deployment has the limit")
    choose(f"ours-{suffix}")
    expect(pages.page.get_by_text("Leasehold").first).to_be_visible()
    refused = [fault for fault in pages.faults if fault.startswith("409 PATCH")]
    pages.faults = [fault for fault in pages.faults if fault not in refused]
    assert refused and limit_of_the_deployment() == theirs["id"]
