"""What operators changed."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

ACTOR_LENGTH = 128
SUBJECT_LENGTH = 255


class AuditEntry(models.Model):
    """A change that somebody made, written in its transaction and never changed: see :mod:`store.audit`.

    It refers to its subject by no foreign key, since it outlives it.
    """

    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=ACTOR_LENGTH)
    """Who: a user of the console, or ``cli:`` and the login name of who ran a command."""
    address = models.CharField(max_length=64, blank=True)
    """From where, if it came over the network."""
    action = models.CharField(max_length=64)
    """The kind of the subject and what was done to it: ``device.disable``."""
    subject_id = models.BigIntegerField()
    subject = models.CharField(max_length=SUBJECT_LENGTH)
    """Its name then."""
    before = models.JSONField(default=dict)
    """What of it was changed, as it was; empty for what was not there."""
    after = models.JSONField(default=dict)
    note = models.TextField(blank=True)

    class Meta:
        indexes = (
            models.Index(fields=["at", "id"], name="audit_at"),
            models.Index(fields=["actor", "at", "id"], name="audit_actor"),
        )

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.subject}"
