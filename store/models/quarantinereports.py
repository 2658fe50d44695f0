"""What came into quarantine, day by day."""

from __future__ import annotations

from django.db import models


class QuarantineReport(models.Model):
    """Of a day, in the time zone of days, made once: what was stored since the one before."""

    day = models.DateField(unique=True)
    at = models.DateTimeField()
    messages = models.PositiveBigIntegerField()
    devices = models.PositiveIntegerField()
    groups = models.JSONField(default=list)
    """Those with the most messages first: number and name, whether it is new, how many messages and devices."""
    read_to = models.BigIntegerField()
    """Messages up to this id are in it or in one before, and groups up to the other."""
    group_to = models.BigIntegerField()

    def __str__(self) -> str:
        return f"quarantine on {self.day}"
