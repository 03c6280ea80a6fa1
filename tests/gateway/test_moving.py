"""Limits move from the Prefect server to Leasehold and back, while leases are held."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import StartGateway
from leasehold_server import LeaseholdServer
from moving import (
    LIMITS,
    TAGS,
    acquire,
    advance,
    move,
    phase,
    release,
    renew,
    roll_back,
    status,
    take,
)
from prefect_server import PrefectServer
from waiting import wait_until


@pytest.fixture
def name(gateway: LeaseholdServer) -> Iterator[str]:
    """A name of the test's own. What the test moved is moved back: the next gateway knows
    nothing of it."""
    yield f"limit-{uuid.uuid4().hex[:8]}"


def test_the_status_names_who_holds_what(gateway: LeaseholdServer, name: str) -> None:
    gateway.create_limit(name, 3)
    run = str(uuid.uuid4())
    lease = take(gateway, name, holder={"type": "task_run", "id": run})
    gateway.request("POST", f"{LIMITS}/increment", {"names": [name], "slots": 1})
    limit = status(gateway, name)
    assert (limit["phase"], limit["slots"]) == ("upstream", 3)
    (seen,) = limit["leases"]
    assert (seen["id"], seen["holder"]["id"], seen["slots"]) == (lease, run, 1)
    assert seen["since"] < seen["next_renewal"] < seen["deadline"]
    assert (limit["taken"], limit["unexplained"], limit["phantoms"]) == (2, 1, 0)


def test_leases_from_before_count_until_their_end(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    gateway.create_limit(name, 2)
    before = take(gateway, name)
    advance(gateway, name)
    assert phase(gateway, name) == "draining"
    after = take(gateway, name)
    assert prefect.limit(name)["active_slots"] == 1, "nothing is written there"
    assert acquire(gateway, name).status_code == 423
    assert gateway.active_slots(name) == 2
    assert renew(gateway, before) == renew(gateway, after) == 204
    release(gateway, before)
    wait_until(lambda: phase(gateway, name) == "leasehold", "nothing is foreign")
    third = take(gateway, name)
    assert prefect.limit(name)["active_slots"] == 0
    for lease in (after, third):
        release(gateway, lease)
    assert gateway.active_slots(name) == 0


def test_the_upstream_counts_what_is_held_here_before_it_grants(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    gateway.create_limit(name, 2)
    advance(gateway, name)
    lease = take(gateway, name)
    roll_back(gateway, name)
    assert phase(gateway, name) == "returning"
    assert prefect.limit(name)["active_slots"] == 1
    there = take(gateway, name)
    assert acquire(gateway, name).status_code == 423
    assert renew(gateway, lease) == renew(gateway, there) == 204
    release(gateway, lease)
    wait_until(lambda: phase(gateway, name) == "upstream", "nothing is left here")
    assert prefect.limit(name)["active_slots"] == 1
    release(gateway, there)
    assert prefect.limit(name)["active_slots"] == 0


def test_a_limit_on_its_way_back_can_be_advanced_again(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    gateway.create_limit(name, 2)
    advance(gateway, name)
    lease = take(gateway, name)
    roll_back(gateway, name)
    there = take(gateway, name)
    advance(gateway, name)
    assert acquire(gateway, name).status_code == 423
    assert status(gateway, name)["foreign"] == 1
    wait_until(lambda: prefect.limit(name)["active_slots"] == 1, "the cover is given back")
    assert acquire(gateway, name).status_code == 423
    release(gateway, there)
    release(gateway, lease)
    wait_until(lambda: gateway.active_slots(name) == 0, "all is free")


def test_a_kill_in_any_phase_changes_nothing(
    prefect: PrefectServer, start_gateway: StartGateway, name: str
) -> None:
    gateway = start_gateway(prefect)
    gateway.create_limit(name, 2)
    before = take(gateway, name)
    advance(gateway, name)
    here = take(gateway, name)
    gateway.kill()
    gateway.start()
    assert phase(gateway, name) == "draining"
    assert acquire(gateway, name).status_code == 423
    assert renew(gateway, before) == renew(gateway, here) == 204
    roll_back(gateway, name)
    assert prefect.limit(name)["active_slots"] == 2
    gateway.kill()
    gateway.start()
    assert acquire(gateway, name).status_code == 423
    assert prefect.limit(name)["active_slots"] == 2
    release(gateway, here)
    wait_until(lambda: prefect.limit(name)["active_slots"] == 1, "the cover is given back")
    release(gateway, before)
    assert prefect.limit(name)["active_slots"] == 0
    wait_until(lambda: phase(gateway, name) == "upstream", "nothing is left here")


def test_a_request_over_both_sides_takes_both_or_none(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    there = f"{name}-there"
    gateway.create_limit(name, 2)
    gateway.create_limit(there, 1)
    advance(gateway, name)
    answer = acquire(gateway, there, name)
    assert answer.status_code == 200, answer.text
    assert [limit["name"] for limit in answer.json()["limits"]] == sorted([name, there])
    lease = answer.json()["lease_id"]
    assert (gateway.active_slots(name), prefect.limit(there)["active_slots"]) == (1, 1)
    refused = acquire(gateway, there, name)
    assert refused.status_code == 423 and float(refused.headers["retry-after"]) >= 0
    wait_until(lambda: gateway.active_slots(name) == 1, "ours is given back")
    assert renew(gateway, lease) == 204
    assert status(gateway, name)["together"] == [there]
    release(gateway, lease)
    wait_until(lambda: prefect.limit(there)["active_slots"] == 0, "theirs is given back")
    assert gateway.active_slots(name) == 0


def test_slots_without_a_lease_are_given_back_where_they_are(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    def slots(how: str, number: int) -> None:
        answer = gateway.request("POST", f"{LIMITS}/{how}", {"names": [name], "slots": number})
        assert answer.status_code == 200, answer.text
        assert [limit["name"] for limit in answer.json()] == [name]

    gateway.create_limit(name, 4)
    slots("increment", 2)
    advance(gateway, name)
    slots("increment", 1)
    assert (gateway.active_slots(name), prefect.limit(name)["active_slots"]) == (3, 2)
    slots("decrement", 2)
    wait_until(lambda: gateway.active_slots(name) == 1, "one here and one there")
    assert prefect.limit(name)["active_slots"] == 1
    slots("increment", 1)
    roll_back(gateway, name)
    assert prefect.limit(name)["active_slots"] == 2
    slots("decrement", 2)
    assert prefect.limit(name)["active_slots"] == 0


def test_tags_of_older_clients_move_too(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    def tags(how: str, run: str) -> int:
        body = {"names": [name], "task_run_id": run}
        return gateway.request("POST", f"{TAGS}/{how}", body).status_code

    gateway.create_tag_limit(name, 2)
    first, second, third = (str(uuid.uuid4()) for _ in range(3))
    assert tags("increment", first) == 200
    advance(gateway, f"tag:{name}")
    assert tags("increment", second) == 200
    assert tags("increment", third) == 423
    assert sorted(gateway.tag_holders(name)) == sorted([first, second])
    listed = gateway.request("POST", f"{TAGS}/filter", {}).json()
    (row,) = [row for row in listed if row["tag"] == name]
    assert sorted(row["active_slots"]) == sorted([first, second])
    assert tags("decrement", first) == 200
    wait_until(lambda: tags("increment", third) == 200, "its slot is free here")
    for run in (second, third):
        assert tags("decrement", run) == 200
    assert gateway.active_slots(f"tag:{name}") == 0


def test_a_rate_limit_takes_its_level_along(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    gateway.create_limit(name, 10, slot_decay_per_second=0.01)
    body = {"names": [name], "slots": 8, "mode": "rate_limit"}
    assert gateway.request("POST", f"{LIMITS}/increment", body).status_code == 200
    advance(gateway, name)
    assert (phase(gateway, name), gateway.active_slots(name)) == ("leasehold", 8)
    assert gateway.request("POST", f"{LIMITS}/increment", body).status_code == 423
    roll_back(gateway, name)
    assert gateway.request("POST", f"{LIMITS}/increment", body).status_code == 423
    wait_until(lambda: phase(gateway, name) == "upstream", "nothing is left here")


def test_edits_of_a_moved_limit_go_to_both_sides(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    made = gateway.create_limit(name, 2)
    before = take(gateway, name)
    advance(gateway, name)
    lease = take(gateway, name)
    body = {"limit": 5, "active_slots": 0, "name": f"{name}-new"}
    assert gateway.request("PATCH", f"{LIMITS}/{made['id']}", body).status_code == 204
    there = prefect.limit(f"{name}-new")
    assert (there["limit"], there["active_slots"]) == (5, 1), "its count is never written"
    here = gateway.limit(f"{name}-new")
    assert (here["limit"], here["active_slots"]) == (5, 2)
    reset = gateway.request("PATCH", f"{LIMITS}/{made['id']}", {"active_slots": 0})
    assert reset.status_code == 204
    assert renew(gateway, lease) == 410
    assert renew(gateway, before) == 204, "a reset revokes nothing that the upstream holds"
    assert gateway.request("DELETE", f"{LIMITS}/{name}-new").status_code == 204
    assert prefect.request("GET", f"{LIMITS}/{name}-new").status_code == 404
    assert gateway.request("GET", f"{LIMITS}/{name}-new").status_code == 404


def test_lists_show_each_limit_once_and_in_order(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    names = [f"{name}-{letter}" for letter in "abc"]
    for each in names:
        gateway.create_limit(each, 2)
    advance(gateway, names[1])
    lease = take(gateway, names[1])

    def rows() -> list[tuple[str, int]]:
        listed = gateway.request("POST", f"{LIMITS}/filter", {"limit": 200}).json()
        return [(row["name"], row["active_slots"]) for row in listed if row["name"] in names]

    assert rows() == [(names[0], 0), (names[1], 1), (names[2], 0)]
    page = gateway.request("POST", f"{LIMITS}/filter", {"limit": 1, "offset": 1})
    assert len(page.json()) == 1
    release(gateway, lease)


def test_a_limit_of_a_deployment_stays_upstream(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    flow = gateway.request("POST", "/flows/", {"name": name}).json()
    limit = gateway.create_limit(name, 2)
    deployment = {"name": name, "flow_id": flow["id"], "concurrency_limit": 1}
    made = gateway.request("POST", "/deployments/", deployment)
    assert made.status_code == 201, made.text
    own = f"deployment:{made.json()['id']}"
    (moved,) = move(gateway, "advance", own)
    assert moved["outcome"] == "refused" and "deployment" in moved["message"]
    advance(gateway, name)
    refers = {"name": f"{name}-2", "flow_id": flow["id"]}
    refers["global_concurrency_limit_id"] = limit["id"]
    refused = gateway.request("POST", "/deployments/", refers)
    assert refused.status_code == 409 and "rollback" in refused.json()["detail"]
    roll_back(gateway, name)
    wait_until(lambda: phase(gateway, name) == "upstream", "it is back")
    assert gateway.request("POST", "/deployments/", refers).status_code == 201
    (moved,) = move(gateway, "advance", name)
    assert moved["outcome"] == "refused" and name in moved["message"]
    assert status(gateway, name)["stays"]


def test_slots_taken_past_the_gateway_count_at_once(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    gateway.create_limit(name, 2)
    advance(gateway, name)
    past = take(prefect, name)
    wait_until(lambda: gateway.active_slots(name) == 1, "it counts here")
    assert "past this gateway" in gateway.log()
    release(prefect, past)
    wait_until(lambda: gateway.active_slots(name) == 0, "and no more")


def test_phantoms_are_dropped_here_and_given_back_on_the_way_back(
    prefect: PrefectServer, start_gateway: StartGateway, name: str
) -> None:
    gateway = start_gateway(prefect)
    gateway.create_limit(name, 2)
    prefect.request("POST", f"{LIMITS}/increment", {"names": [name], "slots": 2})
    advance(gateway, name)
    assert acquire(gateway, name).status_code == 423
    (young,) = move(gateway, "drop-phantoms", name)
    assert (young["outcome"], young["dropped"]) == ("refused", 0)
    assert "cannot be judged yet" in young["message"]
    assert "cannot be judged yet" in status(gateway, name)["warning"]
    (dry,) = move(gateway, "drop-phantoms", name, force=True, dry_run=True)
    assert dry["dropped"] == 2 and acquire(gateway, name).status_code == 423
    (dropped,) = move(gateway, "drop-phantoms", name, force=True)
    assert (dropped["outcome"], dropped["dropped"]) == ("moved", 2)
    assert prefect.limit(name)["active_slots"] == 2, "nothing is written there"
    lease = take(gateway, name)
    gateway.kill()
    gateway.start()
    assert renew(gateway, lease) == 204
    other = take(gateway, name)
    assert acquire(gateway, name).status_code == 423
    roll_back(gateway, name)
    assert prefect.limit(name)["active_slots"] == 2
    assert acquire(gateway, name).status_code == 423
    for each in (lease, other):
        release(gateway, each)
    wait_until(lambda: prefect.limit(name)["active_slots"] == 0, "all is given back")


def test_limits_of_ours_go_on_while_the_upstream_is_down(
    start_prefect: Any, start_gateway: StartGateway
) -> None:
    prefect = start_prefect()
    gateway = start_gateway(prefect)
    gateway.create_limit("ours", 1)
    gateway.create_limit("theirs", 1)
    advance(gateway, "ours")
    prefect.stop()
    lease = take(gateway, "ours")
    assert renew(gateway, lease) == 204
    assert gateway.active_slots("ours") == 1
    refused = acquire(gateway, "theirs")
    assert refused.status_code == 502 and refused.headers["retry-after"]
    edit = gateway.request("PATCH", f"{LIMITS}/ours", {"limit": 3})
    assert edit.status_code == 502
    (moved,) = move(gateway, "rollback", "ours")
    assert moved["outcome"] == "refused" and moved["now"] == "leasehold", moved
    release(gateway, lease)
    prefect.start()
    roll_back(gateway, "ours")
