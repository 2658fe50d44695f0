"""What devices said, and how they stand by it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler

from store.models.devices import Device
from store.models.groups import Group

KIND_LENGTH = 64
CAUSE_LENGTH = 64


class Position(models.Model):
    """Where a device was and how it moved.

    Units: degrees WGS-84, metres, km/h, degrees clockwise from north.
    """

    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)
    altitude_m = models.FloatField(null=True)
    speed_kmh = models.FloatField(null=True)
    course_deg = models.FloatField(null=True)

    class Meta:
        abstract = True


class Report(Position):
    """One moment of one device, stored once however often it was sent.

    Nothing may refer to it by a foreign key: on PostgreSQL its table is in partitions (:mod:`store.partitions`), whose key
    is (id, time).
    """

    # The constraint below begins with the device, so that its index serves the foreign key too.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="reports", db_index=False)
    time = models.DateTimeField()
    """When the device says it was; where it says nothing usable, when the message was received."""
    received_at = models.DateTimeField()
    kind = models.CharField(max_length=KIND_LENGTH)
    sequence = models.BigIntegerField()
    digest = models.BinaryField(max_length=16)
    values = models.JSONField(default=dict)
    alarms = models.JSONField(default=list)
    head = models.BinaryField()
    body = models.BinaryField()

    class Meta:
        # Read backwards, its index is the one on (device, time desc) that pages want: a second would only be written.
        constraints = (models.UniqueConstraint(fields=["device", "time", "digest"], name="report_once"),)

    def __str__(self) -> str:
        return f"{self.kind} of device {self.device_id} at {self.time:%Y-%m-%d %H:%M:%S}"


class Minute(models.Func):
    """The minute that a moment is in."""

    output_field = models.DateTimeField(null=True)
    template = "date_bin('1 minute', %(expressions)s, TIMESTAMPTZ '2000-01-01 00:00:00+00')"

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> tuple[str, tuple[Any, ...]]:
        return self.as_sql(compiler, connection, template="(substr(%(expressions)s, 1, 16) || ':00')", **extra)


class State(Position):
    """How a device stands: one row each, made with the device, which never goes back in time."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="state")
    group = models.ForeignKey(
        Group, on_delete=models.DO_NOTHING, null=True, related_name="+", db_index=False, db_constraint=False, editable=False
    )
    """The device's, kept so by :mod:`store.triggers`: it stands here too, for an index with the time to begin with it."""
    last_seen = models.DateTimeField(null=True)
    """When the newest message was received."""
    seen_minute = models.GeneratedField(
        expression=Minute("last_seen"), output_field=models.DateTimeField(null=True), db_persist=True
    )
    """That to the minute, for indexes: they would have to follow each message, and so follow the first of a minute."""
    time = models.DateTimeField(null=True)
    """The newest dated report's time: values and alarms are as of then."""
    position_time = models.DateTimeField(null=True)
    """The time of the newest report that is a position: latitude to course are as of then."""
    newest = models.JSONField(default=dict)
    """Values of the newest report that told any, or of several merged."""
    newest_names = models.BigIntegerField(null=True)
    """Of that report, as :func:`store.rows.names_digest` has them; None of several."""
    earlier = models.JSONField(default=dict)
    """Values that were told before, of which the newest hold."""
    alarms = models.JSONField(default=list)

    class Meta:
        indexes = (
            models.Index(fields=["seen_minute", "device"], name="state_seen"),
            models.Index(fields=["group", "seen_minute", "device"], name="state_group_seen"),
        )

    def __str__(self) -> str:
        return f"state of device {self.device_id}"

    @property
    def values(self) -> dict[str, Any]:
        """What the device told last under each name."""
        return {**self.earlier, **self.newest}
