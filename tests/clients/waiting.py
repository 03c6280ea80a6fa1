"""Waits for a condition with a deadline, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01


def wait_until(condition: Callable[[], T | None], what: str, within_seconds: float = 60.0) -> T:
    """Returns the first true value of `condition`."""
    deadline = time.monotonic() + within_seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"not within {within_seconds} s: {what}"
        time.sleep(POLL_SECONDS)
