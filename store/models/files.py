"""Files of the platform, such as firmware, and how they get to devices."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from store.models.alarms import HANDLER_LENGTH
from store.models.devices import Device
from store.models.media import NAME_LENGTH

FILE_NAME_LENGTH = 32
MAKER_LENGTH = 16


class File(models.Model):
    """A file that devices may be given. Its bytes are in the media folder, under their digest, and never change."""

    name = models.CharField(max_length=FILE_NAME_LENGTH)
    """What it is for, as devices know it: ``firmware``."""
    version = models.CharField(max_length=FILE_NAME_LENGTH, blank=True)
    maker = models.CharField(max_length=MAKER_LENGTH, blank=True)
    """Of the devices that it is for, where a protocol tells them."""
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    crc32 = models.BigIntegerField()
    added_at = models.DateTimeField(default=timezone.now)
    added_by = models.CharField(max_length=HANDLER_LENGTH, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)
    """From then on there are no bytes, and nobody is given it. The row stays for those who were."""

    class Meta:
        indexes = (models.Index(fields=["sha256"], name="file_sha256", condition=models.Q(removed_at__isnull=True)),)

    def __str__(self) -> str:
        return f"file {self.id} ({self.name} {self.version})"


class Delivery(models.Model):
    """One file for one device: from being offered to the device's own word, or another end.

    It waits for a device that is away, and goes on over any link and gateway. ``due_at`` is when workers look at it next: at
    once when it has changed, and now and then as long as it is open.
    """

    class State(models.TextChoices):
        OFFERED = "offered"
        """It waits for its device to come, or to ask."""
        FETCHING = "fetching"
        """Some of it has gone down."""
        DONE = "done"
        """The device says that it has it."""
        FAILED = "failed"
        CANCELLED = "cancelled"

    OPEN = (State.OFFERED, State.FETCHING)

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=16, choices=State.choices, default=State.OFFERED)
    reason = models.CharField(max_length=NAME_LENGTH, blank=True, default="", db_default="")
    """Why it is in this state."""
    by = models.CharField(max_length=HANDLER_LENGTH, blank=True, default="", db_default="")
    created_at = models.DateTimeField(default=timezone.now)
    touched_at = models.DateTimeField(default=timezone.now)
    """When there was news of it."""
    ended_at = models.DateTimeField(null=True)
    sent_bytes = models.BigIntegerField(default=0, db_default=0)
    """Up to where it has gone down at some time. It lags behind by seconds."""
    tries = models.IntegerField(default=0, db_default=0)
    """Offers since anything came of one."""
    due_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["device", "file"], name="delivery_open_once", condition=models.Q(state__in=("offered", "fetching"))
            ),
        )
        indexes = (
            models.Index(fields=["device", "id"], name="delivery_device"),
            models.Index(fields=["due_at"], name="delivery_due", condition=models.Q(due_at__isnull=False)),
        )

    def __str__(self) -> str:
        return f"delivery {self.id} of file {self.file_id} to device {self.device_id}"
