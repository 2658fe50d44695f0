from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate

from store import partitions

log = logging.getLogger(__name__)


class StoreConfig(AppConfig):
    name = "store"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        pre_migrate.connect(_drop_triggers, sender=self)
        post_migrate.connect(_make_triggers, sender=self)
        post_migrate.connect(_make_months_ahead, sender=self)


def _drop_triggers(plan: Sequence[Any], **_: Any) -> None:
    from store import triggers  # it needs the models, which are not there when this module is read

    if plan:
        triggers.drop()


def _make_triggers(**_: Any) -> None:
    from store import triggers

    triggers.make()


def _make_months_ahead(**_: Any) -> None:
    """So that a new database has them from its first report on."""
    if not partitions.is_partitioned():
        return
    try:
        partitions.make_ahead(datetime.now(UTC))
    except partitions.BusyError as error:
        log.warning("months not made, the next turn of retention makes them", extra={"cause": str(error)})
