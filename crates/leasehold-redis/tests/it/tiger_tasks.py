"""Tasks for real TaskTiger workers. `worker QUEUE [MAX]` runs one, `delay TASK QUEUE JSON` queues one task."""

import json
import os
import sys
import time

import redis
from tasktiger import TaskTiger

connection = redis.Redis(port=int(os.environ["TIGER_PORT"]), decode_responses=True)
tiger = TaskTiger(
    connection=connection,
    setup_structlog=True,
    config={
        "ACTIVE_TASK_UPDATE_TIMEOUT": 5,
        "ACTIVE_TASK_UPDATE_TIMER": 0.5,
        "LOCK_RETRY": 0.1,
        "QUEUE_SCHEDULED_TASKS_TIME": 0.1,
        "REQUEUE_EXPIRED_TASKS_INTERVAL": 1,
        "SELECT_TIMEOUT": 0.1,
    },
)


def work(name, seconds):
    """Leaves when it began and when it ended."""
    began = time.time()
    with open(os.environ["TIGER_LOG"], "a") as log:
        log.write(json.dumps({"task": name, "began": began}) + "\n")
    time.sleep(seconds)
    with open(os.environ["TIGER_LOG"], "a") as log:
        log.write(json.dumps({"task": name, "began": began, "ended": time.time()}) + "\n")


@tiger.task(lock=True)
def locked(name, seconds=0.1, extra=None):
    work(name, seconds)


@tiger.task(lock=True, lock_key=("user", "absent"))
def keyed(user, name, seconds=0.1):
    work(name, seconds)


@tiger.task()
def plain(name, seconds=0.1):
    work(name, seconds)


def main():
    # Under its own name, so that tasks are found again by the worker.
    import tiger_tasks

    tasks = tiger_tasks.tiger
    if sys.argv[1] == "worker":
        most = int(sys.argv[3]) if len(sys.argv) > 3 else None
        tasks.run_worker(queues=sys.argv[2], max_workers_per_queue=most)
    else:
        function = getattr(tiger_tasks, sys.argv[2])
        args, kwargs = json.loads(sys.argv[4])
        tasks.delay(function, args=args, kwargs=kwargs, queue=sys.argv[3])


if __name__ == "__main__":
    main()
