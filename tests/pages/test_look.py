"""How the pages look: no violation that axe finds, nothing beside the screen, and screenshots under
target/pages to look at, in both themes and at both ends of widths."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from leasehold_server import ROOT, LeaseholdServer

SHOTS = ROOT / "target" / "pages"
BYTES_MAX = 150_000
# The pages of which there is a shot in each theme and at each width; of the others there are two.
ALL_FOUR = ("empty", "list", "limit", "rates", "events", "health", "migration")
HOSTILE = "a\u202e\"'{{x}}"


@pytest.fixture
def filled(server: LeaseholdServer):
    """A server that is still empty, and the paths of its pages by name."""
    return server, {"empty": "/leasehold", "no-rates": "/leasehold/rates"}


def fill(server: LeaseholdServer) -> dict[str, str]:
    database = server.create("database", 2)
    server.create("warehouse-writes", 10)
    server.create("paused", 4, active=False)
    rate = server.create("api-calls", 5, slot_decay_per_second=0.01)
    odd = server.create(HOSTILE, 1)
    server.create("a-very-long-name-" + "abcdefghij" * 12, 400_000)
    tag = {"tag": "etl", "concurrency_limit": 3}
    server.send("POST", "/api/concurrency_limits/", tag)
    holder = {"kind": "process", "id": "<img src=x onerror=alert(1)>", "labels": {"team": "data"}}
    lease = server.acquire("database", holder=holder)
    both = [{"name": "database"}, {"name": "warehouse-writes", "slots": 4}]
    server.send("POST", "/api/leases", {"limits": both, "ttl_seconds": 90})
    server.acquire(HOSTILE, holder={"kind": "x\u202e", "id": "\u202e\"><b>"})
    take = {"names": ["warehouse-writes"], "slots": 2}
    server.send("POST", "/api/v2/concurrency_limits/increment", take)
    spend = {"names": ["api-calls"], "slots": 5, "mode": "rate_limit"}
    server.send("POST", "/api/v2/concurrency_limits/increment", spend)
    for name in ("waiter-1", "waiter-2"):
        server.wait_behind("database", name)
    return {
        "list": "/leasehold",
        "nothing-found": "/leasehold?q=nothing",
        "tags": "/leasehold/tags",
        "limit": database,
        "odd": odd,
        "rate": rate,
        "new": "/leasehold/new",
        "new-tag": "/leasehold/new?kind=tag",
        "edit": f"{database}/edit",
        "reset": f"{database}/reset",
        "delete": f"{database}/delete",
        "revoke": f"{database}/leases/{lease}/revoke",
        "rates": "/leasehold/rates",
        "events": "/leasehold/events",
        "health": "/leasehold/health",
        "not-found": "/leasehold/nothing",
    }


@pytest.mark.parametrize(("theme", "width"), [("light", 1600), ("dark", 360)])
def test_pages_are_accessible_and_fit(filled, browser: Browser, theme: str, width: int):
    """Colours depend on the theme and the layout on the width: two of the four show all to axe."""
    server, pages = filled
    SHOTS.mkdir(parents=True, exist_ok=True)
    other = "dark" if theme == "light" else "light"
    found = look(server, browser, pages, theme, width)
    pages = fill(server)
    found += look(server, browser, pages, theme, width)
    shown = {name: path for name, path in pages.items() if name in ALL_FOUR}
    found += look(server, browser, shown, other, width, has_axe=False)
    assert not found, "\n".join(found)


def look(
    server: LeaseholdServer,
    browser: Browser,
    pages: dict[str, str],
    theme: str,
    width: int,
    has_axe: bool = True,
) -> list[str]:
    found = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
    )
    page = context.new_page()
    for name, path in pages.items():
        place = f"{name} {theme} {width}"
        page.goto(server.url + path)
        page.screenshot(path=SHOTS / f"{name}-{theme}-{width}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{place}: it is wider than the screen")
        # On a narrow screen it is the pages with tables that look different.
        if not has_axe or (width < 1600 and name not in ALL_FOUR):
            continue
        for violation in Axe().run(page).response["violations"]:
            nodes = [node["html"][:100] for node in violation["nodes"][:3]]
            found.append(f"{place}: {violation['id']} ({violation['help']}): {nodes}")
    context.close()
    return found


def test_a_page_weighs_little(server: LeaseholdServer, browser: Browser):
    for number in range(60):
        server.create(f"limit-{number:02}", 5)
    context = browser.new_context()
    page = context.new_page()
    # By address: a slow browser may get the page again when something has changed.
    sizes: dict[str, int] = {}
    page.on(
        "response",
        lambda answer: sizes.update({answer.url: len(answer.body())}) if answer.ok else None,
    )
    page.goto(f"{server.url}/leasehold", wait_until="load")
    context.close()
    assert sum(sizes.values()) < BYTES_MAX, sizes

