"""Alarms of devices, and what operators made of them."""

from __future__ import annotations

from django.db import models

from store.models.devices import Device
from store.models.reports import KIND_LENGTH

ALARM_LENGTH = 64
HANDLER_LENGTH = 128
SEVERITY_LENGTH = 16


class AlarmState(models.TextChoices):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Severity(models.TextChoices):
    CRITICAL = "critical"
    WARNING = "warning"
    NOTICE = "notice"


class AlarmReason(models.TextChoices):
    """What an alarm was, as whoever closed it says."""

    REAL = "real"
    FALSE = "false"
    TEST = "test"
    DUPLICATE = "duplicate"


class Alarm(models.Model):
    """An alarm of a device: one row for each kind, which repeats, ends and begins again, as :mod:`store.alarms` says.

    It does not expire. Times are the device's own; only when somebody handled it is by our clock.
    """

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="alarms", db_index=False)
    kind = models.CharField(max_length=ALARM_LENGTH)
    """As the device tells it; of a rule's, ``rule:`` and the rule's name."""
    severity = models.CharField(max_length=SEVERITY_LENGTH, choices=Severity, blank=True, default="", db_default="")
    """As the rule says; empty for what a device tells."""
    state = models.CharField(max_length=16, choices=AlarmState, default=AlarmState.OPEN)
    first_at = models.DateTimeField()
    """The time of the report it was opened by, and the device's place then."""
    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)
    last_at = models.DateTimeField()
    times = models.PositiveIntegerField()
    """How many reports have told of it since it was opened."""
    is_ongoing = models.BooleanField()
    standing_at = models.DateTimeField(null=True)
    """The newest report that said it stands, and of which kind that was: a later one of the kind ends it. Of a rule's alarm, the
    report that opened or ended it last, and no kind: only the rule ends it."""
    standing_kind = models.CharField(max_length=KIND_LENGTH, blank=True)
    settled_at = models.DateTimeField(null=True)
    """Up to which time it is closed: only what is later opens it again."""
    reopenings = models.PositiveIntegerField(default=0)
    handled_at = models.DateTimeField(null=True)
    """When an operator last acknowledged or closed it; if it was opened again since, that was about the time before."""
    handled_by = models.CharField(max_length=HANDLER_LENGTH, blank=True, default="", db_default="")
    note = models.TextField(blank=True, default="", db_default="")
    reason = models.CharField(max_length=16, choices=AlarmReason, blank=True, default="", db_default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "kind"], name="alarm_once"),)
        # Short, however many alarms there have been: every batch asks. No index has a time, so that rows that repeat are
        # updated in their place.
        indexes = (models.Index(fields=["device"], condition=models.Q(is_ongoing=True), name="alarm_ongoing"),)

    def __str__(self) -> str:
        return f"{self.kind} of device {self.device_id}"
