"""A peer in another process: real TaskTiger and redis-py locks, under orders that are lines of JSON."""

import json
import sys
import time

host, port, skew = "127.0.0.1", int(sys.argv[1]), float(sys.argv[2])
if skew:
    real_time = time.time
    time.time = lambda: real_time() + skew

import redis  # noqa: E402

client = redis.Redis(host=host, port=port)
held = {}


class DualLock:
    """The recipe's step between: the token lock, then the old one."""

    def __init__(self, key_id, timeout):
        from tasktiger.redis_lock import Lock

        self.new = client.lock("t:lockv2:" + key_id, timeout=timeout)
        self.old = Lock(client, "t:lock:" + key_id, timeout=timeout)
        self.timeout = timeout

    def acquire(self, blocking):
        if not self.new.acquire(blocking=blocking):
            return False
        if not self.old.acquire(blocking=blocking):
            self.new.release()
            return False
        return True

    def renew(self):
        self.new.reacquire()
        self.old.renew(self.timeout)

    def release(self):
        self.old.release()
        self.new.release()


def make(mechanism, key_id, timeout):
    if mechanism == "old":
        from tasktiger.redis_lock import Lock

        return Lock(client, "t:lock:" + key_id, timeout=timeout)
    if mechanism == "dual":
        return DualLock(key_id, timeout)
    return client.lock("t:lockv2:" + key_id, timeout=timeout)


def run(command):
    op, name = command["op"], command.get("name")
    if op == "acquire":
        lock = make(command["mechanism"], name, command["timeout"])
        got = lock.acquire(blocking=command.get("blocking", False))
        if got:
            held[name] = lock
        return bool(got)
    if op == "release":
        held.pop(name).release()
        return True
    if op == "renew":
        lock = held[name]
        lock.renew() if hasattr(lock, "renew") else lock.reacquire()
        return True
    if op == "semaphore":
        from tasktiger.redis_semaphore import Semaphore

        semaphore = Semaphore(client, "t:qslock:" + name, command["holder"], command["timeout"], command["size"])
        held[name + command["holder"]] = semaphore
        return list(semaphore.acquire())
    if op == "semaphore-release":
        held.pop(name + command["holder"]).release()
        return True
    if op == "system-lock":
        from tasktiger.redis_semaphore import Semaphore

        Semaphore.set_system_lock(client, "t:qslock:" + name, command["timeout"])
        return True
    if op == "lock-id":
        from tasktiger._internal import gen_unique_id

        return [gen_unique_id(*case) for case in command["cases"]]
    if op == "repr":
        return [repr(value) for value in command["cases"]]
    raise ValueError(op)


print("ready", flush=True)
for line in sys.stdin:
    try:
        answer = {"ok": run(json.loads(line))}
    except Exception as error:
        answer = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(answer), flush=True)
