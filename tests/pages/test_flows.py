"""What a person does with the pages, in a real browser."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from conftest import Open
from leasehold_server import LeaseholdServer


def test_a_first_limit_is_created_from_the_empty_page(server: LeaseholdServer, open_page: Open):
    page = open_page(f"{server.url}/")
    expect(page).to_have_url(f"{server.url}/leasehold")
    expect(page.get_by_text("with concurrency(")).to_be_visible()
    page.get_by_role("link", name="Make the first one").click()
    page.get_by_label("Slots", exact=True).fill("two")
    page.get_by_role("button", name="Create").click()
    wrong = page.get_by_role("alert")
    expect(wrong).to_have_text("'two' is no whole number such as 10.")
    expect(page.get_by_label("Slots", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Slots", exact=True).fill("2")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="database")).to_be_visible()
    assert server.send("GET", "/api/v2/concurrency_limits/database")["limit"] == 2


def test_a_limit_is_edited_switched_reset_and_deleted(server: LeaseholdServer, open_page: Open):
    path = server.create("db", 2)
    server.acquire("db")
    page = open_page(server.url + path)
    page.get_by_role("link", name="Edit").click()
    # Meanwhile somebody else changes what this form does not.
    server.send("PATCH", "/api/v2/concurrency_limits/db", {"slot_decay_per_second": 0.5})
    page.get_by_label("Name").fill("database")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="database")).to_be_visible()
    limit = server.send("GET", "/api/v2/concurrency_limits/database")
    assert (limit["limit"], limit["slot_decay_per_second"]) == (2, 0.5)
    server.send("PATCH", "/api/v2/concurrency_limits/database", {"slot_decay_per_second": 0})

    switch = page.get_by_role("switch")
    expect(switch).to_have_attribute("aria-checked", "true")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    assert server.send("GET", "/api/v2/concurrency_limits/database")["active"] is False
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")

    page.get_by_role("link", name="Reset").click()
    page.get_by_label("Reason").fill("the host is gone")
    page.get_by_role("button", name="Free all slots").click()
    expect(page.get_by_text("Nothing holds a slot.")).to_be_visible()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("textbox").fill("database")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No limit yet")).to_be_visible()


def test_a_lease_is_revoked_with_a_reason(server: LeaseholdServer, open_page: Open):
    path = server.create("db", 1)
    lease = server.acquire("db", holder={"kind": "process", "id": "etl-7"})
    server.wait_behind("db", "next")
    page = open_page(server.url + path)
    expect(page.get_by_text("One lease has had the only slot")).to_be_visible()
    expect(page.get_by_role("heading", name="Waiters")).to_be_visible()
    page.get_by_role("link", name="Revoke the lease").click()
    page.get_by_label("Reason").fill("it hangs")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row", name="etl-7").first).not_to_contain_text("Revoke")
    expect(page.get_by_role("region", name="Table of holders")).to_contain_text("next")
    ended = server.send("GET", f"/api/leases/{lease}", expect=404)
    assert "it hangs" in ended["detail"]


def test_changes_of_others_appear_and_what_is_typed_stays(server: LeaseholdServer, open_page: Open):
    server.create("alpha", 2)
    page = open_page(f"{server.url}/leasehold")
    search = page.get_by_role("searchbox", name="Search by name")
    search.fill("a")
    expect(page).to_have_url(f"{server.url}/leasehold?q=a")
    page.evaluate("window.isSame = true")
    server.create("beta", 1)
    expect(page.get_by_role("link", name="beta")).to_be_visible()
    server.acquire("beta")
    expect(page.get_by_role("row", name="beta")).to_contain_text("full")
    expect(search).to_have_value("a")
    expect(search).to_be_focused()
    server.send("DELETE", "/api/v2/concurrency_limits/beta")
    expect(page.get_by_role("link", name="beta")).to_be_hidden()
    assert page.evaluate("window.isSame"), "the page was loaded again"


def test_a_form_stands_still(server: LeaseholdServer, open_page: Open):
    path = server.create("db", 1)
    page = open_page(f"{server.url}{path}/edit")
    page.get_by_label("Slots", exact=True).fill("-1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    # The answer to a form is no page that could be asked for again.
    server.create("other", 1)
    page.goto(f"{server.url}{path}/edit")
    page.get_by_label("Slots", exact=True).fill("3")
    server.send("PATCH", "/api/v2/concurrency_limits/db", {"limit": 7})
    expect(page.get_by_label("Slots", exact=True)).to_have_value("3")


def test_everything_is_reached_by_the_keyboard(server: LeaseholdServer, open_page: Open):
    server.create("db", 1)
    page = open_page(f"{server.url}/leasehold")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    names = []
    for _ in range(20):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
        if names[-1] == "db":
            break
    assert "db" in names, names
    page.keyboard.press("Tab")
    expect(page.get_by_role("switch")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("switch")).to_have_attribute("aria-checked", "false")


def test_without_scripts_the_pages_read_and_their_forms_work(
    server: LeaseholdServer, open_page: Open
):
    page = open_page(f"{server.url}/leasehold/new", java_script_enabled=False)
    page.get_by_label("Name").fill("db")
    page.get_by_label("Slots", exact=True).fill("1")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="db")).to_be_visible()
    page.get_by_role("switch").click()
    expect(page.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    page.goto(f"{server.url}/leasehold?q=d")
    expect(page.get_by_role("link", name="db")).to_be_visible()


def test_with_a_password_one_signs_in_and_out(tmp_path: Path, open_page: Open):
    server = LeaseholdServer(tmp_path, "--auth-string", "ops:s3cret").start()
    try:
        page = open_page(f"{server.url}/leasehold/health")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        sign_in(page, "wrong")
        expect(page.get_by_role("alert")).to_contain_text("No such user")
        sign_in(page, "s3cret")
        expect(page.get_by_role("heading", name="Health")).to_be_visible()
        cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
        cookie = cookies["leasehold-signed-in"]
        assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    finally:
        server.stop()


def sign_in(page: Page, password: str) -> None:
    page.get_by_label("User").fill("ops")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_events_are_filtered_and_come_live(server: LeaseholdServer, open_page: Open):
    server.create("db", 1)
    page = open_page(f"{server.url}/leasehold/events")
    expect(page.get_by_role("region", name="Table of events")).to_contain_text("limit.created")
    page.get_by_label("Kind").select_option("lease")
    expect(page.get_by_text("No event in the log is like this.")).to_be_visible()
    server.acquire("db", holder={"kind": "process", "id": "etl-7"})
    expect(page.get_by_role("region", name="Table of events")).to_contain_text("etl-7")
    expect(page.get_by_role("region", name="Table of events")).not_to_contain_text("limit.created")
