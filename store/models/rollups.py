"""What channels came to within five minutes and within hours: made of reports by tasks, and made anew when more comes."""

from __future__ import annotations

from django.db import models

from store.models.devices import Device


class ChannelSlot(models.Model):
    """A stretch of a device's time, with all its channels in one value: what a page asks for is a stretch of one index."""

    begins_at = models.DateTimeField()
    channels = models.JSONField(default=dict)
    """By name: how many readings, the least, the greatest, their sum, the last. True counts as 1, and false as 0."""
    # The constraint of each table begins with the device, so that its index serves the foreign key too.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="+", db_index=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"from {self.begins_at:%Y-%m-%d %H:%M:%S} of device {self.device_id}"


class ChannelFiveMinutes(ChannelSlot):
    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "begins_at"], name="channel_five_minutes_once"),)


class ChannelHour(ChannelSlot):
    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "begins_at"], name="channel_hour_once"),)


class RollupMark(models.Model):
    """Five minutes of a device whose reports were changed in place, or went: they are to be made anew."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="+")
    begins_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"from {self.begins_at:%Y-%m-%d %H:%M:%S} of device {self.device_id}"


class RollupProgress(models.Model):
    """How far reports are rolled up: one row."""

    read_to = models.BigIntegerField(default=0)
    """Reports up to this id are."""

    def __str__(self) -> str:
        return f"reports rolled up to {self.read_to}"
