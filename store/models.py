"""Devices, what they said, how they stand, and what could not be read."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

PROTOCOL_LENGTH = 32
IDENTITY_LENGTH = 64
KIND_LENGTH = 64
CAUSE_LENGTH = 64
ALARM_LENGTH = 64
HANDLER_LENGTH = 128
CREDENTIAL_LENGTH = 128


class Device(models.Model):
    """Something that connects, by its name within its protocol."""

    protocol = models.CharField(max_length=PROTOCOL_LENGTH)
    identity = models.CharField(max_length=IDENTITY_LENGTH)
    name = models.CharField(max_length=128, blank=True)
    is_enabled = models.BooleanField(default=True)
    credential = models.CharField(max_length=CREDENTIAL_LENGTH, blank=True, default="", db_default="")
    """What it has to show, sealed; empty for a device that has none, which then may not come in where one is asked for."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["protocol", "identity"], name="device_identity"),)

    def __str__(self) -> str:
        return f"{self.protocol} {self.identity}"


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
    """One moment of one device, stored once however often it was sent."""

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


class State(Position):
    """How a device stands: one row each, which never goes back in time."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="state")
    last_seen = models.DateTimeField(null=True)
    """When the newest message was received."""
    time = models.DateTimeField(null=True)
    """The newest dated report's time: values and alarms are as of then."""
    position_time = models.DateTimeField(null=True)
    """The time of the newest report that is a position: latitude to course are as of then."""
    values = models.JSONField(default=dict)
    alarms = models.JSONField(default=list)

    class Meta:
        indexes = (models.Index(fields=["last_seen", "device"], name="state_last_seen"),)

    def __str__(self) -> str:
        return f"state of device {self.device_id}"


class AlarmState(models.TextChoices):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


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
    """The newest report that said it stands, and of which kind that was: a later one of the kind ends it."""
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


class Quarantine(models.Model):
    """A message that could not be decoded whole, with all that decoding it again takes."""

    # As with reports, the constraint's index serves the foreign key.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="quarantine", db_index=False)
    kind = models.CharField(max_length=KIND_LENGTH)
    kind_id = models.BigIntegerField()
    sequence = models.BigIntegerField()
    head = models.BinaryField()
    body = models.BinaryField()
    digest = models.BinaryField(max_length=16)
    """Of kind and body of the whole message, so that one sent again is kept once."""
    received_at = models.DateTimeField()
    error_cause = models.CharField(max_length=CAUSE_LENGTH)
    error_path = models.TextField(blank=True)
    error_text = models.TextField(blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "digest"], name="quarantine_once"),)

    def __str__(self) -> str:
        return f"{self.kind} of device {self.device_id}: {self.error_cause}"
