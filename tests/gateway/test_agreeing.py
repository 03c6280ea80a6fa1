"""What an interrupted edit, an edit past the gateway, and a restart leave behind."""

from __future__ import annotations

import uuid
from typing import Any

from conftest import StartGateway
from leasehold_server import LeaseholdServer
from moving import (
    LIMITS,
    MIGRATION,
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
from test_moving import name
from waiting import wait_until

__all__ = ["name"]


def row(server: LeaseholdServer | PrefectServer, name: str) -> tuple[int, bool]:
    answer = server.request("GET", f"{LIMITS}/{name}").json()
    return answer["limit"], answer["active"]


def test_an_edit_that_reached_prefect_alone_reaches_leasehold_too(
    prefect: PrefectServer, start_gateway: StartGateway, name: str
) -> None:
    gateway = start_gateway(prefect)
    made = gateway.create_limit(name, 1)
    advance(gateway, name)
    lease = take(gateway, name)
    # This is what a kill between the two halves of an edit leaves.
    gateway.kill()
    half = prefect.request("PATCH", f"{LIMITS}/{name}", {"limit": 2})
    assert half.status_code == 204
    gateway.start()
    wait_until(lambda: row(gateway, name) == (2, True), "the ledger follows")
    second = take(gateway, name)
    # The same without a kill, past the gateway, and with another name.
    new = f"{name}-new"
    past = prefect.request("PATCH", f"{LIMITS}/{made['id']}", {"limit": 3, "name": new})
    assert past.status_code == 204
    wait_until(lambda: phase(gateway, new) == "leasehold", "it has its new name here")
    third = take(gateway, new)
    assert acquire(gateway, new).status_code == 423
    assert gateway.active_slots(new) == 3 and prefect.limit(new)["active_slots"] == 0
    assert "its value holds here as well now" in gateway.log()
    for each in (lease, second, third):
        release(gateway, each)
    roll_back(gateway, new)


def test_a_limit_that_is_made_again_upstream_can_go_back(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    gateway.create_limit(name, 2)
    advance(gateway, name)
    lease = take(gateway, name)
    assert prefect.request("DELETE", f"{LIMITS}/{name}").status_code == 204
    wait_until(lambda: "does not have this limit" in (status(gateway, name)["warning"] or ""), "")
    made = prefect.request("POST", f"{LIMITS}/", {"name": name, "limit": 1})
    assert made.status_code == 201
    wait_until(lambda: row(gateway, name) == (1, True), "the new row holds")
    assert acquire(gateway, name).status_code == 423
    roll_back(gateway, name)
    assert prefect.limit(name)["active_slots"] == 1
    assert renew(gateway, lease) == 204
    release(gateway, lease)
    wait_until(lambda: phase(gateway, name) == "upstream", "nothing is left here")
    assert prefect.limit(name)["active_slots"] == 0


def test_a_deployment_saved_past_the_gateway_makes_its_limit_go_back(
    prefect: PrefectServer, gateway: LeaseholdServer, name: str
) -> None:
    flow = gateway.request("POST", "/flows/", {"name": name}).json()
    limit = gateway.create_limit(name, 2)
    advance(gateway, name)
    lease = take(gateway, name)
    refers = {"name": name, "flow_id": flow["id"], "global_concurrency_limit_id": limit["id"]}
    assert prefect.request("POST", "/deployments/", refers).status_code == 201
    # A run of it takes its slot inside the Prefect server, and renews through the gateway.
    inside = take(prefect, name)
    wait_until(lambda: phase(gateway, name) == "returning", "it goes back by itself")
    assert name in status(gateway, name)["stays"]
    assert f"the deployment '{name}' has this limit" in gateway.log()
    assert renew(gateway, inside) == renew(gateway, lease) == 204
    assert acquire(gateway, name).status_code == 423
    for each in (inside, lease):
        release(gateway, each)
    wait_until(lambda: phase(gateway, name) == "upstream", "it is back")
    assert prefect.limit(name)["active_slots"] == 0


def test_a_restart_forgets_neither_leases_nor_their_length(
    prefect: PrefectServer, start_gateway: StartGateway, name: str
) -> None:
    def migration() -> dict[str, Any]:
        return gateway.request("GET", MIGRATION).json()

    gateway = start_gateway(prefect)
    gateway.create_limit(name, 3)
    long = str(uuid.uuid4())
    holder = {"type": "flow_run", "id": long}
    lease = take(gateway, name, slots=2, lease_duration=7200, holder=holder)
    stored = gateway.log_path.parent / "data" / "prefect-leases-seen.json"
    wait_until(lambda: stored.exists() and lease in stored.read_text(), "it is stored")
    gateway.kill()
    gateway.start()
    seen = migration()
    assert seen["longest_lease_seconds"] == 7200
    assert seen["watching_since"] < seen["judged_after"]
    (known,) = status(gateway, name)["leases"]
    assert (known["id"], known["slots"], known["holder"]["id"]) == (lease, 2, long)
    assert status(gateway, name)["unexplained"] == 0
    # A lease from before may hold any number of slots of any limit.
    prefect.request("POST", f"{LIMITS}/increment", {"names": [name], "slots": 1})
    advance(gateway, name)
    (left,) = move(gateway, "drop-phantoms", name)
    assert (left["outcome"], left["dropped"]) == ("refused", 0)
    assert "cannot be judged yet" in left["message"]
    release(gateway, lease)
