"""Every limit method of the client object, synchronous and asynchronous."""

from __future__ import annotations

from uuid import UUID

import pytest

from leasehold_server import LeaseholdServer
from prefect_user import (
    CLIENT_VERSION,
    HAS_LEASES,
    ClientError,
    ClientSession,
    PrefectUser,
    some_id,
)

UPSERT_KNOWS_DECAY = CLIENT_VERSION >= (3, 8)
CONFLICT = "ObjectAlreadyExists" if CLIENT_VERSION >= (3, 8) else "PrefectHTTPStatusError"


def test_every_limit_method_does_what_it_says(
    server: LeaseholdServer, user: PrefectUser, flavour: str
) -> None:
    with user.session(flavour) as client:
        global_limits(client)
        upsert(client)
        slots(client)
        if HAS_LEASES:
            leases(client)
        tag_limits(client)
        tag_slots(client)
        assert client.called == client.limit_methods(), "each method is called above"


def global_limits(client: ClientSession) -> None:
    decaying = {"name": "api", "limit": 3, "slot_decay_per_second": 0.5, "active": False}
    created = client.create_global_concurrency_limit(concurrency_limit=decaying)
    client.create_global_concurrency_limit(concurrency_limit={"name": "database", "limit": 2})
    with pytest.raises(ClientError) as refused:
        client.create_global_concurrency_limit(concurrency_limit={"name": "api", "limit": 1})
    assert (refused.value.status, refused.value.kind) == (409, CONFLICT)

    api = client.read_global_concurrency_limit_by_name(name="api")
    assert api == client.read_global_concurrency_limit_by_name(name=created)
    assert api == api | decaying | {"id": created, "active_slots": 0}
    with pytest.raises(ClientError, match="ObjectNotFound"):
        client.read_global_concurrency_limit_by_name(name="nobody")

    listed = client.read_global_concurrency_limits(limit=10, offset=0)
    assert [limit["name"] for limit in listed] == ["api", "database"]
    listed = client.read_global_concurrency_limits(limit=1, offset=1)
    assert [limit["name"] for limit in listed] == ["database"]

    changed = {"name": "api-v2", "limit": 4, "active": True, "slot_decay_per_second": 0.0}
    client.update_global_concurrency_limit(name="api", concurrency_limit=changed)
    api = client.read_global_concurrency_limit_by_name(name="api-v2")
    assert api == api | changed | {"id": created}
    with pytest.raises(ClientError) as refused:
        client.update_global_concurrency_limit(
            name="api-v2", concurrency_limit={"name": "database"}
        )
    assert refused.value.status == 409
    with pytest.raises(ClientError, match="ObjectNotFound"):
        client.update_global_concurrency_limit(name="api", concurrency_limit={"limit": 1})

    client.delete_global_concurrency_limit_by_name(name="api-v2")
    with pytest.raises(ClientError, match="ObjectNotFound"):
        client.delete_global_concurrency_limit_by_name(name="api-v2")


def upsert(client: ClientSession) -> None:
    decay = {"slot_decay_per_second": 0.1} if UPSERT_KNOWS_DECAY else {}
    client.upsert_global_concurrency_limit_by_name(name="upserted", limit=2)
    first = client.read_global_concurrency_limit_by_name(name="upserted")
    assert (first["limit"], first["slot_decay_per_second"]) == (2, 0.0)
    client.upsert_global_concurrency_limit_by_name(name="upserted", limit=5, **decay)
    second = client.read_global_concurrency_limit_by_name(name="upserted")
    assert second == second | decay | {"id": first["id"], "limit": 5}
    client.upsert_global_concurrency_limit_by_name(name="upserted", limit=5, **decay)
    assert client.read_global_concurrency_limit_by_name(name="upserted") == second


def slots(client: ClientSession) -> None:
    def taken() -> int:
        return client.read_global_concurrency_limit_by_name(name="database")["active_slots"]

    take = {"names": ["database", "nobody"], "slots": 2, "mode": "concurrency"}
    give = {"names": ["database", "nobody"], "slots": 2, "occupancy_seconds": 0.5}
    database = client.read_global_concurrency_limit_by_name(name="database")
    minimal = {name: database[name] for name in ("id", "name", "limit")}

    answer = client.increment_concurrency_slots(**take)
    assert (answer["status"], answer["body"], taken()) == (200, [minimal], 2)
    with pytest.raises(ClientError) as refused:
        client.increment_concurrency_slots(**take)
    assert (refused.value.status, refused.value.body) == (423, {"detail": "Locked"})
    with pytest.raises(ClientError) as refused:
        client.increment_concurrency_slots(**take | {"slots": 3})
    assert refused.value.status == 422
    with pytest.raises(ClientError, match="with slot decay"):
        client.increment_concurrency_slots(**take | {"mode": "rate_limit"})

    answer = client.release_concurrency_slots(**give)
    assert (answer["status"], answer["body"], taken()) == (200, [minimal], 0)
    client.release_concurrency_slots(**give)
    assert taken() == 0
    assert client.release_concurrency_slots(**give | {"names": ["nobody"]})["body"] == []


def leases(client: ClientSession) -> None:
    def taken() -> int:
        return client.read_global_concurrency_limit_by_name(name="database")["active_slots"]

    take = {"names": ["database"], "slots": 2, "mode": "concurrency", "lease_duration": 60}
    holder = {"holder": {"type": "flow_run", "id": some_id()}} if CLIENT_VERSION >= (3, 8) else {}
    granted = client.increment_concurrency_slots_with_lease(**take, **holder)["body"]
    assert ([limit["name"] for limit in granted["limits"]], taken()) == (["database"], 2)
    with pytest.raises(ClientError) as refused:
        client.increment_concurrency_slots_with_lease(**take)
    assert refused.value.status == 423
    with pytest.raises(ClientError) as refused:
        client.increment_concurrency_slots_with_lease(**take | {"lease_duration": 86401})
    assert refused.value.status == 422

    lease = granted["lease_id"]
    assert client.renew_concurrency_lease(lease_id=lease, lease_duration=120)["status"] == 204
    with pytest.raises(ClientError, match="it may have expired or been revoked") as refused:
        client.renew_concurrency_lease(lease_id=some_id(), lease_duration=120)
    assert refused.value.status == 410

    for _ in range(2):  # the release of an unknown lease succeeds, too
        assert client.release_concurrency_slots_with_lease(lease_id=lease)["status"] == 204
        assert taken() == 0
    with pytest.raises(ClientError) as refused:
        client.renew_concurrency_lease(lease_id=lease, lease_duration=120)
    assert refused.value.status == 410

    nothing = client.increment_concurrency_slots_with_lease(**take | {"names": ["nobody"]})["body"]
    assert nothing["limits"] == [] and UUID(nothing["lease_id"])


def tag_limits(client: ClientSession) -> None:
    created = client.create_concurrency_limit(tag="gpu", concurrency_limit=1)
    again = client.create_concurrency_limit(tag="gpu", concurrency_limit=2)
    assert created == again
    client.create_concurrency_limit(tag="cpu", concurrency_limit=8)

    gpu = client.read_concurrency_limit_by_tag(tag="gpu")
    assert gpu == gpu | {"id": created, "tag": "gpu", "concurrency_limit": 2, "active_slots": []}
    with pytest.raises(ClientError, match="ObjectNotFound"):
        client.read_concurrency_limit_by_tag(tag="nobody")
    listed = client.read_concurrency_limits(limit=10, offset=0)
    assert {limit["tag"] for limit in listed} == {"gpu", "cpu"}
    assert len(client.read_concurrency_limits(limit=10, offset=1)) == 1

    client.delete_concurrency_limit_by_tag(tag="cpu")
    with pytest.raises(ClientError, match="ObjectNotFound"):
        client.delete_concurrency_limit_by_tag(tag="cpu")


def tag_slots(client: ClientSession) -> None:
    def holders() -> set[str]:
        return set(client.read_concurrency_limit_by_tag(tag="gpu")["active_slots"])

    one, two, three = some_id(), some_id(), some_id()
    for run in (one, two):
        answer = client.increment_v1_concurrency_slots(names=["gpu", "free"], task_run_id=run)
        assert [limit["name"] for limit in answer["body"]] == ["gpu"]
    assert holders() == {one, two}
    with pytest.raises(ClientError) as refused:
        client.increment_v1_concurrency_slots(names=["gpu"], task_run_id=three)
    assert refused.value.status == 423
    reached = "Concurrency limit for the gpu tag has been reached"
    assert refused.value.body == {"detail": reached}

    answer = client.decrement_v1_concurrency_slots(
        names=["gpu"], task_run_id=one, occupancy_seconds=0.5
    )
    assert [limit["name"] for limit in answer["body"]] == ["tag:gpu"]
    assert holders() == {two}

    client.reset_concurrency_limit_by_tag(tag="gpu", slot_override=[one, three])
    assert holders() == {one, three}
    client.reset_concurrency_limit_by_tag(tag="gpu")
    assert holders() == set()
    with pytest.raises(ClientError, match="ObjectNotFound"):
        client.reset_concurrency_limit_by_tag(tag="nobody")
