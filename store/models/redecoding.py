"""What is stored and was asked to be decoded again."""

from __future__ import annotations

from django.db import models

from store.models.background import Background, BackgroundState
from store.models.devices import PROTOCOL_LENGTH, Device


class RedecodingSource(models.TextChoices):
    REPORTS = "reports"
    QUARANTINE = "quarantine"
    BOTH = "both"


class Redecoding(Background):
    """A request to decode what is stored by the definition of today, and how far it is: see :mod:`store.redecoding`.

    Workers go through ids, from behind ``begin`` up to ``end``: what is stored later was decoded by them anyway. What a step of
    theirs has changed and the ``key`` up to which it came are committed together. Of ``done``, what was looked at, the counts say
    what became.
    """

    protocol = models.CharField(max_length=PROTOCOL_LENGTH)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, null=True, related_name="redecodings")
    """Of this device only. With the device it goes, for it must not become one of all devices."""
    since = models.DateTimeField(null=True)
    """What was received from then on, and before the other: by our clock."""
    until = models.DateTimeField(null=True)
    source = models.CharField(max_length=16, choices=RedecodingSource)
    is_dry_run = models.BooleanField(default=False)
    """Whether it only counts."""
    report_begin = models.BigIntegerField(default=0)
    report_key = models.BigIntegerField(default=0)
    report_end = models.BigIntegerField(default=0)
    quarantine_begin = models.BigIntegerField(default=0)
    quarantine_key = models.BigIntegerField(default=0)
    quarantine_end = models.BigIntegerField(default=0)
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
    def percent(self) -> float:
        """How much of the ids is behind it."""
        if self.state == BackgroundState.DONE:
            return 100.0
        span = self.report_end - self.report_begin + self.quarantine_end - self.quarantine_begin
        gone = self.report_key - self.report_begin + self.quarantine_key - self.quarantine_begin
        return 100.0 * gone / span if span else 0.0
