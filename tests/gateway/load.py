"""Clients under load, and an observer who counts how many hold slots at the same time."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import httpx

LIMITS = "/v2/concurrency_limits"
TAGS = "/concurrency_limits"

HOLD_SECONDS = (0.02, 0.25)
PAUSE_MAX = 0.5


class Observer:
    """Counts holders. A client enters when it has read its grant, and leaves before it gives the
    slot back, so the count is never above what was granted."""

    def __init__(self, limits: dict[str, int]):
        self._limits = limits
        self._lock = threading.Lock()
        self._now: dict[str, int] = defaultdict(int)
        self.most: dict[str, int] = defaultdict(int)
        self.grants: dict[str, int] = defaultdict(int)
        self.breaches: list[str] = []
        self.failures: list[str] = []
        self.waits: list[float] = []
        self.passes: list[tuple[float, float]] = []
        """When each slot of a rate limit was asked for, and when its grant was read."""

    def enters(self, names: list[str]) -> None:
        with self._lock:
            for name in names:
                self._now[name] += 1
                self.grants[name] += 1
                self.most[name] = max(self.most[name], self._now[name])
                if self._now[name] > self._limits[name]:
                    self.breaches.append(f"{time.time():.3f} {name}: {self._now[name]} holders")

    def leaves(self, names: list[str]) -> None:
        with self._lock:
            for name in names:
                self._now[name] -= 1

    def passed(self, asked: float) -> None:
        with self._lock:
            self.passes.append((asked, time.monotonic()))

    def fails(self, what: str) -> None:
        with self._lock:
            self.failures.append(f"{time.time():.3f} {what}")

    def answered(self, seconds: float) -> None:
        with self._lock:
            self.waits.append(seconds)

    def report(self) -> dict[str, Any]:
        waits = sorted(self.waits)
        return {
            "grants": dict(self.grants),
            "most holders at once": dict(self.most),
            "breaches": self.breaches,
            "failures": self.failures,
            "longest answer in seconds": round(waits[-1], 3) if waits else 0.0,
            "99th percentile in seconds": round(waits[len(waits) * 99 // 100], 3) if waits else 0.0,
        }


class Load:
    """Threads that acquire, renew and release as Prefect's clients do: they try again what gets
    502, 503 or no answer."""

    def __init__(self, api_url: Callable[[], str], observer: Observer):
        self._api_url = api_url
        self._observer = observer
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def with_leases(self, *names: str) -> None:
        self._start(self._lease, list(names))

    def with_tag(self, tag: str) -> None:
        self._start(self._tag, tag)

    def with_rate(self, name: str) -> None:
        self._start(self._rate, name)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"

    def _start(self, work: Callable[..., None], argument: Any) -> None:
        thread = threading.Thread(target=self._repeat, args=(work, argument), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, work: Callable[..., None], argument: Any) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                try:
                    work(client, argument)
                except Exception as error:  # noqa: BLE001, a thread must not end unseen
                    self._observer.fails(repr(error))
                    time.sleep(0.1)

    def _send(self, client: httpx.Client, path: str, body: Any) -> httpx.Response | None:
        """The answer. `None` if the load ends first."""
        give_up_at = None
        while True:
            began = time.monotonic()
            try:
                answer = client.post(f"{self._api_url()}{path}", json=body)
                if answer.status_code not in (502, 503):
                    self._observer.answered(time.monotonic() - began)
                    return answer
            except httpx.TransportError:
                pass
            if self._stop.is_set():
                give_up_at = give_up_at or time.monotonic() + 20
                if time.monotonic() > give_up_at:
                    return None
            time.sleep(0.1)

    def _acquire(self, client: httpx.Client, path: str, body: Any) -> httpx.Response | None:
        while not self._stop.is_set():
            answer = self._send(client, path, body)
            if answer is None or answer.status_code != 423:
                return answer
            time.sleep(min(float(answer.headers["retry-after"]), PAUSE_MAX) * random.random())
        return None

    def _lease(self, client: httpx.Client, names: list[str]) -> None:
        body = {"names": names, "slots": 1, "lease_duration": 60}
        granted = self._acquire(client, f"{LIMITS}/increment-with-lease", body)
        if granted is None:
            return
        if granted.status_code != 200:
            return self._observer.fails(f"acquire {names}: {granted.status_code} {granted.text}")
        lease = granted.json()["lease_id"]
        self._observer.enters(names)
        try:
            renewed = self._send(client, f"{LIMITS}/leases/{lease}/renew", {"lease_duration": 60})
            if renewed is not None and renewed.status_code != 204:
                self._observer.fails(f"renew {names}: {renewed.status_code} {renewed.text}")
            time.sleep(random.uniform(*HOLD_SECONDS))
        finally:
            self._observer.leaves(names)
        released = self._send(client, f"{LIMITS}/decrement-with-lease", {"lease_id": lease})
        if released is not None and released.status_code != 204:
            self._observer.fails(f"release {names}: {released.status_code} {released.text}")

    def _tag(self, client: httpx.Client, tag: str) -> None:
        body = {"names": [tag], "task_run_id": str(uuid.uuid4())}
        granted = self._acquire(client, f"{TAGS}/increment", body)
        if granted is None:
            return
        if granted.status_code != 200:
            return self._observer.fails(f"tag {tag}: {granted.status_code} {granted.text}")
        self._observer.enters([f"tag:{tag}"])
        time.sleep(random.uniform(*HOLD_SECONDS))
        self._observer.leaves([f"tag:{tag}"])
        released = self._send(client, f"{TAGS}/decrement", body)
        if released is not None and released.status_code != 200:
            self._observer.fails(f"give {tag} back: {released.status_code} {released.text}")

    def _rate(self, client: httpx.Client, name: str) -> None:
        asked = time.monotonic()
        body = {"names": [name], "slots": 1, "mode": "rate_limit"}
        granted = self._acquire(client, f"{LIMITS}/increment", body)
        if granted is None:
            return
        if granted.status_code != 200:
            return self._observer.fails(f"rate {name}: {granted.status_code} {granted.text}")
        self._observer.passed(asked)
