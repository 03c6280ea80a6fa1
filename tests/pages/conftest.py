"""A server, and a browser that looks at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from leasehold_server import LeaseholdServer

expect.set_options(timeout=15_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LeaseholdServer]:
    server = LeaseholdServer(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        # The tests may run as root in a container, where Chromium has no sandbox.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens pages. Each must load nothing from elsewhere, and its console must stay clean."""
    contexts, faults = [], []

    def open_page(url: str, **options: object) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        host = url.split("/")[2]

        def check(request: object) -> None:
            address = request.url  # type: ignore[attr-defined]
            if not address.startswith("data:") and address.split("/")[2] != host:
                faults.append(f"loaded {address}")

        page.on("request", check)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: faults.append(message.text)
            if message.type == "error" and "status of 4" not in message.text
            else None,
        )
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults
