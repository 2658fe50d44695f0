"""What could not be read, and what of it is of one kind."""

from __future__ import annotations

from django.db import models

from store.models.devices import PROTOCOL_LENGTH, Device
from store.models.reports import CAUSE_LENGTH, KIND_LENGTH

VERSION_LENGTH = 64
PATH_LENGTH = 200
REASON_LENGTH = 255
DISCARDER_LENGTH = 128


class QuarantineGroup(models.Model):
    """Messages that could not be read for the same reason at the same place.

    How many there are, of which devices and since when, is counted when somebody asks: a row that changed with each of them
    would be waited for by all workers.
    """

    protocol = models.CharField(max_length=PROTOCOL_LENGTH)
    kind = models.CharField(max_length=KIND_LENGTH)
    cause = models.CharField(max_length=CAUSE_LENGTH)
    path = models.CharField(max_length=PATH_LENGTH, blank=True)
    """Of the field that failed, ``items[].length`` whichever entry of a list it was in."""
    discarded = models.BigIntegerField(default=0, db_default=0)
    """How many of its messages somebody has thrown away, when last, who, and why."""
    discarded_at = models.DateTimeField(null=True)
    discarded_by = models.CharField(max_length=DISCARDER_LENGTH, blank=True, default="", db_default="")
    reason = models.CharField(max_length=REASON_LENGTH, blank=True, default="", db_default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["protocol", "kind", "cause", "path"], name="quarantine_group_once"),)

    def __str__(self) -> str:
        return f"{self.protocol} {self.kind} {self.path}: {self.cause}"


class Quarantine(models.Model):
    """A message that could not be decoded whole, with all that decoding it again takes."""

    # As with reports, the constraint's index serves the foreign key.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="quarantine", db_index=False)
    group = models.ForeignKey(QuarantineGroup, on_delete=models.SET_NULL, null=True, related_name="messages")
    """None until somebody looks, for what was stored by an older release; and beyond as many groups as are kept."""
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
    version = models.CharField(max_length=VERSION_LENGTH, blank=True, default="", db_default="")
    """Of the protocol's definition that could not read it; empty if there is no such protocol, or none was kept yet."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "digest"], name="quarantine_once"),)

    def __str__(self) -> str:
        return f"{self.kind} of device {self.device_id}: {self.error_cause}"
