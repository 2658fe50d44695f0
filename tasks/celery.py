"""The Celery app of the workers, and of beat: ``celery -A tasks worker``, ``celery -A tasks beat``."""

from __future__ import annotations

import gc
import logging
import os
from typing import Any

import django
from celery import Celery
from celery.signals import setup_logging, worker_process_init

from protocols.registry import RegistryError, registered
from settings.load import SettingsError, exit_with, load_or_exit
from settings.logs import configure
from tasks.contract import celery_configuration
from tasks.outcomes import outcome_configuration

settings = load_or_exit()
try:
    protocols = registered(settings.protocols)
except RegistryError as error:
    exit_with(SettingsError(str(error)))

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "store.settings")
django.setup()

# Without Celery's Django fixup, which closes the database's connection around every task: a worker's tasks all write.
app = Celery(
    "iotgw",
    fixups=[],
    include=[
        "tasks.admission",
        "tasks.compute.daily",
        "tasks.compute.exports",
        "tasks.compute.redecode",
        "tasks.compute.rollups",
        "tasks.compute.upkeep",
        "tasks.compute.rules",
        "tasks.commands",
        "tasks.devices",
        "tasks.files",
        "tasks.health",
        "tasks.ingest",
        "tasks.media",
        "tasks.presence",
        "tasks.quarantine",
        "tasks.replies",
        "tasks.results",
        "tasks.retention",
    ],
)
app.conf.update(
    celery_configuration(settings.effective_broker_url),
    **outcome_configuration(settings.redis_url),
    worker_consumer="tasks.consumer:Consumer",
    beat_scheduler="tasks.schedule.beat:Beat",
    worker_max_memory_per_child=settings.worker_memory_bytes // 1024 or None,
)


OBJECTS_A_COLLECTION = 20_000
"""About a batch's, at the default of what a batch holds."""


@setup_logging.connect
def _configure_logs(**_: Any) -> None:
    configure(settings)
    if settings.log_level != "debug":
        # Celery tells every batch twice, and every rejection with a traceback where the task has said why in a line.
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
        logging.getLogger("celery.app.trace").setLevel(logging.ERROR)


@worker_process_init.connect
def collect_seldom(**_: Any) -> None:
    """Leave modules, models and tables out of garbage collection, since they stay as long as the process, and look through
    the rest a few times a batch: what a batch makes lives as long as the batch, and is looked through in vain.

    Going through all every few batches would be a third of a worker's time, looking every 700 objects a tenth.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_A_COLLECTION)
