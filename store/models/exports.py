"""Tables of what is stored, made as files for people."""

from __future__ import annotations

from django.db import models

from store.models.background import Background, BackgroundState

TOKEN_LENGTH = 43
EXPORT_NAME_LENGTH = 64


class ExportFormat(models.TextChoices):
    CSV = "csv"
    XLSX = "xlsx"


class Export(Background):
    """A request to write rows into a file, and how far it is: see :mod:`store.exports`.

    What the file has at ``bytes`` and where the next step goes on (``place``) are committed together.
    """

    source = models.CharField(max_length=16)
    """Of :data:`store.exports.sources.SOURCES`."""
    format = models.CharField(max_length=8, choices=ExportFormat)
    scope = models.JSONField(default=dict)
    """Which devices, by ids; and how they were named when it was asked for."""
    since = models.DateTimeField(null=True)
    until = models.DateTimeField()
    kinds = models.JSONField(default=list)
    channels = models.JSONField(default=list)
    """Names of values that become columns, with their units."""
    timezone = models.CharField(max_length=64)
    last_id = models.BigIntegerField(default=0)
    """What is stored behind it is not part of it."""
    expected = models.PositiveBigIntegerField()
    """Rows that there were when it was asked for."""
    packed = models.PositiveBigIntegerField(default=0)
    """Of the rows that are done, those that are in the spreadsheet."""
    place = models.JSONField(default=list)
    """The device and the row that the next step goes on behind."""
    is_read = models.BooleanField(default=False)
    """Whether all rows are done: what is left is to make the file of them."""
    tries = models.PositiveIntegerField(default=0)
    """How often the next step was begun."""
    bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    token = models.CharField(max_length=TOKEN_LENGTH, unique=True)
    """What the file is called on the disk, so that nobody guesses it."""
    name = models.CharField(max_length=EXPORT_NAME_LENGTH)
    """What it is called for people."""
    task_id = models.UUIDField(unique=True)
    """Of all its steps: the id that a result is asked for by."""
    expires_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=["ended_at"], name="export_ended"),)

    def __str__(self) -> str:
        return f"export {self.id} ({self.source})"

    @property
    def percent(self) -> float:
        """Of a spreadsheet, reading is half of it."""
        if self.state in (BackgroundState.DONE, BackgroundState.EXPIRED):
            return 100.0
        gone, all = self.done + self.packed, self.expected * (2 if self.format == ExportFormat.XLSX else 1)
        return min(100.0 * gone / all, 99.0) if all else 0.0
