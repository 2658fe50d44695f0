"""What is stored and was asked to be decoded again."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from store.models.audit import ACTOR_LENGTH
from store.models.devices import PROTOCOL_LENGTH, Device

ERROR_LENGTH = 255


class RedecodingState(models.TextChoices):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class RedecodingSource(models.TextChoices):
    REPORTS = "reports"
    QUARANTINE = "quarantine"
    BOTH = "both"


class Redecoding(models.Model):
    """A request to decode what is stored by the definition of today, and how far it is: see :mod:`store.redecoding`.

    Workers go through ids, from behind ``begin`` up to ``end``: what is stored later was decoded by them anyway. What a step of
    theirs has changed and the ``key`` up to which it came are committed together.
    """

    OPEN = (RedecodingState.WAITING, RedecodingState.RUNNING)

    protocol = models.CharField(max_length=PROTOCOL_LENGTH)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, null=True, related_name="redecodings")
    """Of this device only. With the device it goes, for it must not become one of all devices."""
    since = models.DateTimeField(null=True)
    """What was received from then on, and before the other: by our clock."""
    until = models.DateTimeField(null=True)
    source = models.CharField(max_length=16, choices=RedecodingSource)
    is_dry_run = models.BooleanField(default=False)
    """Whether it only counts."""
    state = models.CharField(max_length=16, choices=RedecodingState, default=RedecodingState.WAITING)
    error = models.CharField(max_length=ERROR_LENGTH, blank=True)
    """Why it failed."""
    steps = models.PositiveIntegerField(default=0)
    """That are committed: a task that is for another one than the next does nothing."""
    report_begin = models.BigIntegerField(default=0)
    report_key = models.BigIntegerField(default=0)
    report_end = models.BigIntegerField(default=0)
    quarantine_begin = models.BigIntegerField(default=0)
    quarantine_key = models.BigIntegerField(default=0)
    quarantine_end = models.BigIntegerField(default=0)
    done = models.PositiveBigIntegerField(default=0)
    """Reports and messages in quarantine that were looked at; the rest says what became of them."""
    changed = models.PositiveBigIntegerField(default=0)
    """Reports that say something else now."""
    added = models.PositiveBigIntegerField(default=0)
    """Reports more, of bodies that give several now."""
    merged = models.PositiveBigIntegerField(default=0)
    """Reports that have become the same as another one, which stays."""
    failing = models.PositiveBigIntegerField(default=0)
    """What is not read whole: a report stays as it was, a message in quarantine."""
    kept = models.PositiveBigIntegerField(default=0)
    """Reports that stay as they were since their bytes alone make no message, or have become a file."""
    mended = models.PositiveBigIntegerField(default=0)
    """Messages that have left quarantine."""
    created_at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=ACTOR_LENGTH)
    touched_at = models.DateTimeField(default=timezone.now)
    """When its last step was committed."""
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            # Two at once would change the same rows, and count what the other has changed.
            models.UniqueConstraint(
                fields=["protocol"], condition=models.Q(state__in=["waiting", "running"]), name="redecoding_open_once"
            ),
        )

    def __str__(self) -> str:
        return f"redecoding {self.id} ({self.protocol})"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def percent(self) -> float:
        """How much of the ids is behind it."""
        if self.state == RedecodingState.DONE:
            return 100.0
        span = self.report_end - self.report_begin + self.quarantine_end - self.quarantine_begin
        gone = self.report_key - self.report_begin + self.quarantine_key - self.quarantine_begin
        return 100.0 * gone / span if span else 0.0
