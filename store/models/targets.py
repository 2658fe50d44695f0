"""To whom what is stored is forwarded, and how far each has it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

TARGET_LENGTH = 64
TARGET_KIND_LENGTH = 32
ADDRESS_LENGTH = 512
OWNER_LENGTH = 64
ERROR_TEXT_LENGTH = 255


class ForwardSource(models.TextChoices):
    """What may be forwarded. Each is rows with growing ids."""

    REPORTS = "reports"
    EVENTS = "events"
    """What happened to devices, but alarms."""
    ALARMS = "alarms"
    MEDIA = "media"
    """Files of devices, when it is settled what became of them."""


class Target(models.Model):
    """Somebody to whom notices of what is stored are sent, by one process at a time: see :mod:`store.targets`."""

    name = models.CharField(max_length=TARGET_LENGTH, unique=True)
    kind = models.CharField(max_length=TARGET_KIND_LENGTH)
    """By which it is registered: webhook, mqtt, or another package's."""
    address = models.CharField(max_length=ADDRESS_LENGTH)
    options = models.JSONField(default=dict)
    """The kind's own. Secrets are not among them, only where they are."""
    wanted = models.JSONField(default=dict)
    """Which rows, as :class:`store.forwarding.Wanted` has it; empty: all."""
    is_paused = models.BooleanField(default=False)
    pause_reason = models.CharField(max_length=ERROR_TEXT_LENGTH, blank=True)
    revision = models.PositiveIntegerField(default=0)
    """Grows with each change, by which whoever sends sees that there was one."""
    owner = models.CharField(max_length=OWNER_LENGTH, blank=True)
    owned_until = models.DateTimeField(null=True)
    """By the database's clock. Until then nobody but the owner sends."""
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"target {self.name}"


class TargetCursor(models.Model):
    """How far a target has a source: the id up to which it has taken all that it wants."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="cursors", db_index=False)
    source = models.CharField(max_length=16, choices=ForwardSource)
    last_id = models.BigIntegerField()
    moved_at = models.DateTimeField(null=True)
    """When it last took something."""
    sent = models.PositiveBigIntegerField(default=0)
    """Notices that it has taken, copies among them."""
    failures = models.PositiveIntegerField(default=0)
    """In a row."""
    next_try_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=ERROR_TEXT_LENGTH, blank=True)
    lost = models.PositiveBigIntegerField(default=0)
    """Rows that were deleted for their age before it had them."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["target", "source"], name="target_cursor_once"),)

    def __str__(self) -> str:
        return f"{self.source} up to {self.last_id}"


class DeadNotice(models.Model):
    """A notice that a target has refused for good. Its row may be gone by when somebody looks."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="dead", db_index=False)
    source = models.CharField(max_length=16, choices=ForwardSource)
    row_id = models.BigIntegerField()
    reason = models.CharField(max_length=ERROR_TEXT_LENGTH)
    tries = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["target", "source", "row_id"], name="dead_notice_once"),)

    def __str__(self) -> str:
        return f"{self.source} {self.row_id}"
