"""Devices, by their names."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

PROTOCOL_LENGTH = 32
IDENTITY_LENGTH = 64
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
