"""Which devices are here, and since when."""

from __future__ import annotations

from django.db import models

from store.models.devices import Device

GATEWAY_LENGTH = 64
RUN_LENGTH = 32
PEER_LENGTH = 64
END_LENGTH = 32
GATEWAY_LOST = "gateway_lost"
"""The cause of ends that no gateway has told: its process is gone."""
UNKNOWN = "unknown"
"""Its process is there and has no such session."""
PRESUMED = (GATEWAY_LOST, UNKNOWN)


class Presence(models.Model):
    """Whether a device has a session, as the newest word of the gateways has it, in the order of the routes' epochs.

    Apart from its state, which every report changes: this changes when a device comes or goes.
    """

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="presence")
    is_online = models.BooleanField()
    since = models.DateTimeField()
    """When the session began, or ended, by its gateway's clock."""
    gateway = models.CharField(max_length=GATEWAY_LENGTH)
    """Which has the session, or had it last."""
    run = models.CharField(max_length=RUN_LENGTH)
    """Of that gateway's process."""
    peer = models.CharField(max_length=PEER_LENGTH)
    """The device's address and port there."""
    epoch = models.BigIntegerField()
    """Of the session's route."""
    cause = models.CharField(max_length=END_LENGTH, blank=True, default="", db_default="")
    """Why the session ended; empty while it lasts."""

    def __str__(self) -> str:
        return f"device {self.device_id} {'online' if self.is_online else 'offline'} since {self.since:%Y-%m-%d %H:%M:%S}"
