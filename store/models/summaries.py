"""What devices' days came to: made of reports by tasks, and made anew when more of a day comes."""

from __future__ import annotations

from django.db import models

from store.models.channels import CHANNEL_LENGTH
from store.models.devices import Device


class DaySummary(models.Model):
    """A day of a device: there from when it is to be summed up, and replaced with each newer sum.

    Its figures are those of :class:`store.daysums.DaySums`.
    """

    # The constraint below begins with the device, so that its index serves the foreign key too.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="days", db_index=False)
    day = models.DateField()
    """In the time zone that days were counted in when it was summed up."""
    due_at = models.DateTimeField(null=True)
    """When it was found that it is to be summed up, or anew; None: there is nothing new. By the database's clock, as all these."""
    asked_at = models.DateTimeField(null=True)
    """When workers were last asked to."""
    as_of = models.DateTimeField(null=True)
    """When the reading began that these figures are of; None: there are none yet."""
    begins_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    report_count = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    distance_km = models.FloatField(default=0.0)
    is_by_odometer = models.BooleanField(default=False)
    driving_seconds = models.FloatField(default=0.0)
    idle_seconds = models.FloatField(default=0.0)
    stopped_seconds = models.FloatField(default=0.0)
    max_speed_kmh = models.FloatField(null=True)
    mean_speed_kmh = models.FloatField(null=True)
    alarm_count = models.PositiveIntegerField(default=0)
    online_seconds = models.FloatField(default=0.0)
    is_open = models.BooleanField(default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "day"], name="day_summary_once"),)
        indexes = (
            models.Index(fields=["day", "device"], name="day_summary_day"),
            # Short: only what is to be done.
            models.Index(fields=["asked_at", "id"], condition=models.Q(due_at__isnull=False), name="day_summary_due"),
        )

    def __str__(self) -> str:
        return f"{self.day} of device {self.device_id}"


class ChannelSummary(models.Model):
    """A numeric channel within a day."""

    summary = models.ForeignKey(DaySummary, on_delete=models.CASCADE, related_name="channels", db_index=False)
    name = models.CharField(max_length=CHANNEL_LENGTH)
    readings = models.PositiveIntegerField()
    minimum = models.FloatField()
    mean = models.FloatField()
    maximum = models.FloatField()
    last = models.FloatField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["summary", "name"], name="channel_summary_once"),)

    def __str__(self) -> str:
        return f"{self.name} within day {self.summary_id}"


class _Stretch(models.Model):
    """A part of a device's time."""

    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        abstract = True


class Trip(_Stretch):
    """One of the day in which it begins, whole, also if it ends in the next."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="trips", db_index=False)
    distance_km = models.FloatField()
    idle_seconds = models.FloatField()
    """Standing on the way."""
    max_speed_kmh = models.FloatField(null=True)
    begin_latitude = models.FloatField(null=True)
    begin_longitude = models.FloatField(null=True)
    end_latitude = models.FloatField(null=True)
    end_longitude = models.FloatField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "begins_at"], name="trip_once"),)
        indexes = (models.Index(fields=["begins_at", "device"], name="trip_time"),)

    def __str__(self) -> str:
        return f"trip of device {self.device_id} at {self.begins_at:%Y-%m-%d %H:%M:%S}"


class Stop(_Stretch):
    """A stay at a place, within one day."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="stops", db_index=False)
    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "begins_at"], name="stop_once"),)

    def __str__(self) -> str:
        return f"stop of device {self.device_id} at {self.begins_at:%Y-%m-%d %H:%M:%S}"


class SummaryProgress(models.Model):
    """How far days are marked to be summed up: one row."""

    day = models.DateField()
    """The first that is not marked for all devices."""
    device_id = models.BigIntegerField(default=0)
    """Up to which it is."""
    read_to = models.BigIntegerField()
    """Reports up to this id were looked at, whether they are of days that were marked before."""

    def __str__(self) -> str:
        return f"days marked up to {self.day}"
