"""Channels: what devices measure and tell, each under a name of its own."""

from __future__ import annotations

from django.db import models

from store.limits import Limits
from store.models.devices import Device

CHANNEL_LENGTH = 64
UNIT_LENGTH = 32
LABEL_LENGTH = 128


class ChannelKind(models.TextChoices):
    """What its values are."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    STRUCTURE = "structure"
    """A list or a table, such as the voltages of all cells."""


class Channel(models.Model):
    """A name under which a device has reported a value: what it is measured in and called, and what is still right.

    It begins with the first value, as :mod:`store.channels` says. Values are in reports and states and not here, so that
    a channel is written once and not with every report.
    """

    # The constraint below begins with the device, so that its index serves the foreign key too.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="channels", db_index=False)
    name = models.CharField(max_length=CHANNEL_LENGTH)
    kind = models.CharField(max_length=16, choices=ChannelKind)
    unit = models.CharField(max_length=UNIT_LENGTH, blank=True, default="", db_default="")
    is_unit_set = models.BooleanField(default=False, db_default=False)
    """Whether somebody here says what the unit is: then no device changes it."""
    english = models.CharField(max_length=LABEL_LENGTH, blank=True, default="", db_default="")
    chinese = models.CharField(max_length=LABEL_LENGTH, blank=True, default="", db_default="")
    """What it is called, as far as the protocol says."""
    label = models.CharField(max_length=LABEL_LENGTH, blank=True, default="", db_default="")
    """What somebody here calls it, whatever the protocol says."""
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    critical_low = models.FloatField(null=True)
    critical_high = models.FloatField(null=True)
    is_hidden = models.BooleanField(default=False, db_default=False)
    place = models.IntegerField(null=True)
    """Where in a list of the device's channels; those without one come last, as they were first reported."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "name"], name="channel_once"),)

    def __str__(self) -> str:
        return f"{self.name} of device {self.device_id}"

    @property
    def limits(self) -> Limits:
        return Limits(self.low, self.high, self.critical_low, self.critical_high)
