"""What happened to devices."""

from __future__ import annotations

from django.db import models

from store.models.alarms import ALARM_LENGTH
from store.models.devices import Device


class EventKind(models.TextChoices):
    ONLINE = "online"
    OFFLINE = "offline"
    ALARM_OPENED = "alarm_opened"
    ALARM_ENDED = "alarm_ended"
    """The device says that it does not stand any more."""
    ALARM_RESUMED = "alarm_resumed"
    """It stands again, and nobody has closed it in between."""
    ALARM_REOPENED = "alarm_reopened"
    ALARM_ACKNOWLEDGED = "alarm_acknowledged"
    ALARM_CLOSED = "alarm_closed"


class Event(models.Model):
    """Something that happened to a device, noted once, in the transaction that stores what it follows from."""

    # The constraint below begins with the device, so that its index serves the foreign key too.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="events", db_index=False)
    time = models.DateTimeField()
    """When it happened: of sessions by the gateway's clock, of alarms by the device's, of what operators do by ours."""
    kind = models.CharField(max_length=32, choices=EventKind)
    subject = models.CharField(max_length=ALARM_LENGTH, blank=True)
    """The alarm's kind; of sessions empty."""
    detail = models.JSONField(default=dict)
    """``gateway``, ``peer`` and ``cause`` of sessions; ``by``, ``note`` and ``reason`` of what operators do."""
    received_at = models.DateTimeField()
    """When it was noted, from which its age counts."""

    class Meta:
        # Read backwards, its index is the timeline.
        constraints = (models.UniqueConstraint(fields=["device", "time", "kind", "subject"], name="event_once"),)

    def __str__(self) -> str:
        return f"{self.kind} of device {self.device_id} at {self.time:%Y-%m-%d %H:%M:%S}"
