"""Names of queues and tasks, and how every Celery app of the house is configured."""

from __future__ import annotations

from typing import Any

EXCHANGE = "iotgw"
INGEST_QUEUE = "ingest"
INGEST_TASK = "tasks.ingest.store_batch"
MEDIA_QUEUE = "media"
"""Of work on the disk."""
MEDIA_TASK = "tasks.media.store_files"
MEDIA_SWEEP_TASK = "tasks.media.sweep"
DEFAULT_QUEUE = "default"
"""Of what somebody waits for: such as the tasks that are run over the gateways' control API."""
SUMMARY_TASK = "tasks.devices.summary"
RETENTION_TASK = "tasks.retention.keep"
QUEUES = (INGEST_QUEUE, MEDIA_QUEUE, DEFAULT_QUEUE)


def celery_configuration(broker_url: str) -> dict[str, Any]:
    """What every Celery app of the house is configured with, gateway and workers alike."""
    is_redis = broker_url.startswith(("redis", "rediss", "sentinel"))
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": (
            # A task that a killed worker held comes back after this long; the gateway's own re-send is quicker.
            {"visibility_timeout": 120, "priority_steps": [0], "socket_timeout": 30, "socket_connect_timeout": 5}
            if is_redis
            else {"confirm_publish": True}
        ),
        "task_serializer": "msgpack",
        "accept_content": ["msgpack"],
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_default_exchange": EXCHANGE,
        "task_default_exchange_type": "topic",
        "task_default_queue": DEFAULT_QUEUE,
        "task_default_routing_key": DEFAULT_QUEUE,
        "task_queues": {queue: {"exchange": EXCHANGE, "exchange_type": "topic", "routing_key": queue} for queue in QUEUES},
        # By the nameless exchange, straight into the queue. The way over a named one is a set in Redis, read for every
        # message: when it is gone (a flush, a restart without a file), kombu drops what is sent without a word.
        "task_routes": {
            INGEST_TASK: {"queue": INGEST_QUEUE, "exchange": "", "routing_key": INGEST_QUEUE},
            "tasks.media.*": {"queue": MEDIA_QUEUE, "exchange": "", "routing_key": MEDIA_QUEUE},
            "tasks.files.*": {"queue": MEDIA_QUEUE, "exchange": "", "routing_key": MEDIA_QUEUE},
            "*": {"queue": DEFAULT_QUEUE, "exchange": "", "routing_key": DEFAULT_QUEUE},
        },
        "worker_prefetch_multiplier": 2,
        "worker_hijack_root_logger": False,
        "timezone": "UTC",
    }
