"""Devices, by their names, and what people sort them by."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from store.models.groups import Group

PROTOCOL_LENGTH = 32
IDENTITY_LENGTH = 64
CREDENTIAL_LENGTH = 128
DEVICE_NAME_LENGTH = 128
TAG_LENGTH = 32


class Device(models.Model):
    """Something that connects, by its name within its protocol."""

    protocol = models.CharField(max_length=PROTOCOL_LENGTH)
    identity = models.CharField(max_length=IDENTITY_LENGTH)
    name = models.CharField(max_length=DEVICE_NAME_LENGTH, blank=True)
    # The index below begins with it.
    group = models.ForeignKey(Group, on_delete=models.PROTECT, null=True, blank=True, related_name="devices", db_index=False)
    is_enabled = models.BooleanField(default=True)
    credential = models.CharField(max_length=CREDENTIAL_LENGTH, blank=True, default="", db_default="")
    """What it has to show, sealed; empty for a device that has none, which then may not come in where one is asked for."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["protocol", "identity"], name="device_identity"),)
        indexes = (
            models.Index(fields=["name", "id"], name="device_name"),
            models.Index(fields=["group", "name", "id"], name="device_group_name"),
        )

    def __str__(self) -> str:
        return f"{self.protocol} {self.identity}"


class Tag(models.Model):
    """A word that a device is marked with: a row each, which both databases find devices by."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="tags", db_index=False)
    word = models.CharField(max_length=TAG_LENGTH)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "word"], name="tag_once"),)
        indexes = (models.Index(fields=["word", "device"], name="tag_word"),)

    def __str__(self) -> str:
        return self.word
