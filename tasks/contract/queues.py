"""Which task waits in which queue, and how every Celery app of the house is configured.

A task's queue follows from its module, by one table: whoever sends a task names no queue.

              Redis                                RabbitMQ
task ─▶ list <queue>                         exchange iotgw ─▶ quorum queue <queue>
          │ refused by the worker                                 │ refused, or delivered too often
          └─▶ list iotgw.dead                      exchange iotgw.dead ─▶ queue iotgw.dead
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

EXCHANGE = "iotgw"
INGEST_QUEUE = "ingest"
MEDIA_QUEUE = "media"
"""Of work on the disk."""
COMMAND_QUEUE = "command"
"""Of what goes down to devices."""
COMPUTE_QUEUE = "compute"
"""Of heavy sums, for hosts of their own."""
RESULT_QUEUE = "result"
"""Of what sums have come to, to be stored."""
DEFAULT_QUEUE = "default"
"""Of what somebody waits for: such as the tasks that are run over the gateways' control API."""

TASK_QUEUES = {
    "tasks.ingest.*": INGEST_QUEUE,
    "tasks.media.*": MEDIA_QUEUE,
    "tasks.files.*": MEDIA_QUEUE,
    "tasks.commands.*": COMMAND_QUEUE,
    "tasks.compute.*": COMPUTE_QUEUE,
    "tasks.results.*": RESULT_QUEUE,
    "*": DEFAULT_QUEUE,
}
"""Queues by what the tasks' names are like. The first that fits counts."""
QUEUES = tuple(dict.fromkeys(TASK_QUEUES.values()))

DEAD = "iotgw.dead"
"""The queue of dead letters, and on RabbitMQ its exchange."""
MOST_DEAD = 200
"""Dead letters that are kept, the newest: enough to see what is wrong, and bounded if somebody sends nothing but nonsense."""
MOST_DELIVERIES = 16
"""A task that has come back to RabbitMQ so often, from workers that ended with it, is a dead letter."""
ANSWER_SECONDS = 10
"""So long RabbitMQ may take to confirm that it has a task. One without a majority of its hosts never does."""
PREFETCHED = 2
"""Tasks that a process of a worker holds: one that it works on, and one to go on with."""
LONGEST_USUAL_SECONDS = 120
"""A batch's time limit. Longer tasks may be given out twice on Redis, and take that."""
VISIBILITY_SECONDS = PREFETCHED * LONGEST_USUAL_SECONDS + 60
"""A task on Redis that a killed worker held comes back after so long: later than whoever has it can be at it."""
RESTORE_EVERY_SECONDS = 10

INGEST_TASK = "tasks.ingest.store_batch"
MEDIA_TASK = "tasks.media.store_files"
MEDIA_SWEEP_TASK = "tasks.media.sweep"
SUMMARY_TASK = "tasks.devices.summary"
RETENTION_TASK = "tasks.retention.keep"
KEEP_UP_TASK = "tasks.compute.daily.keep_up"
COMPUTE_DAY_TASK = "tasks.compute.daily.sum_up_day"
MEASURE_TASK = "tasks.health.measure"
QUARANTINE_REPORT_TASK = "tasks.quarantine.report"
UPKEEP_TASK = "tasks.compute.upkeep.tend"
ROLL_UP_TASK = "tasks.compute.rollups.roll_up"
STORE_DAY_TASK = "tasks.results.store_day"
REDECODE_TASK = "tasks.compute.redecode.decode_some"
REDECODE_SWEEP_TASK = "tasks.compute.redecode.resume"

OTHER_QUEUE = (
    "RabbitMQ has queues of another kind under our names. Stop gateways and workers, delete them with "
    f"rabbitmqctl delete_queue <name> ({', '.join((*QUEUES, DEAD))}), and start again: gateways send their batches anew"
)
"""What is to be done when the broker's queues were made by an earlier release or by somebody else."""


def queue_of(task: str) -> str:
    """The queue that a task waits in, by its name."""
    return next(queue for pattern, queue in TASK_QUEUES.items() if fnmatchcase(task, pattern))


def celery_configuration(broker_url: str) -> dict[str, Any]:
    """What every Celery app of the house is configured with, gateway and workers alike."""
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        **(_on_redis() if broker_url.startswith(("redis", "rediss", "sentinel")) else _on_rabbitmq()),
        "task_serializer": "msgpack",
        "accept_content": ["msgpack"],
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": True,
        # When its process dies with a task, three times in all; then it counts as failed, and whoever waits is told.
        "task_retry_on_worker_lost": True,
        "task_annotations": {"*": {"max_retries": 2, "default_retry_delay": 0}},
        "task_create_missing_queues": False,
        "task_default_exchange": EXCHANGE,
        "task_default_exchange_type": "topic",
        "task_default_queue": DEFAULT_QUEUE,
        "task_default_routing_key": DEFAULT_QUEUE,
        "worker_prefetch_multiplier": PREFETCHED,
        "worker_hijack_root_logger": False,
        "timezone": "UTC",
    }


def _on_redis() -> dict[str, Any]:
    return {
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_SECONDS,
            "unacked_restore_interval": RESTORE_EVERY_SECONDS,
            "unacked_restore_throttle": 1,
            "priority_steps": [0],
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
        },
        "task_queues": _queues({}),
        # By the nameless exchange, straight into the queue. The way over a named one is a set in Redis, read for every
        # message: when it is gone (a flush, a restart without a file), kombu drops what is sent without a word.
        "task_routes": {pattern: {"queue": queue, "exchange": "", "routing_key": queue} for pattern, queue in TASK_QUEUES.items()},
    }


def _on_rabbitmq() -> dict[str, Any]:
    kept = {"x-queue-type": "quorum", "x-delivery-limit": MOST_DELIVERIES, "x-dead-letter-exchange": DEAD}
    # Mandatory: a task for a queue that is not there fails its sender, which confirms alone would not.
    surely = {"mandatory": True, "confirm_timeout": ANSWER_SECONDS}
    return {
        "broker_transport_options": {"confirm_publish": True},
        "task_queues": _queues(kept),
        "task_routes": {pattern: {"queue": queue, **surely} for pattern, queue in TASK_QUEUES.items()},
    }


def _queues(arguments: dict[str, Any]) -> dict[str, dict[str, Any]]:
    common = {"exchange": EXCHANGE, "exchange_type": "topic", "queue_arguments": arguments}
    return {queue: {**common, "routing_key": queue} for queue in QUEUES}
