"""Acquires and releases one lock of a peer for some seconds. Prints the pairs per second."""

import json
import sys
import time

import redis

what, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
client = redis.Redis(port=port)

if what == "redis-py":
    lock = client.lock("t:lockv2:bench", timeout=60)

    def pair():
        assert lock.acquire(blocking=False)
        lock.release()

elif what == "semaphore":
    from tasktiger.redis_semaphore import Semaphore

    semaphore = Semaphore(client, "t:qslock:bench", "bench", timeout=60, max_locks=5)

    def pair():
        assert semaphore.acquire()[0]
        semaphore.release()

else:
    from tasktiger.redis_lock import Lock

    lock = Lock(client, "t:lock:bench", timeout=60)

    def pair():
        assert lock.acquire(blocking=False)
        lock.release()


pair()
pairs, started = 0, time.monotonic()
while time.monotonic() - started < seconds:
    pair()
    pairs += 1
print(json.dumps(pairs / (time.monotonic() - started)))
