"""What requests have in common that workers see to step by step, in the background."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from store.models.audit import ACTOR_LENGTH

ERROR_LENGTH = 255


class BackgroundState(models.TextChoices):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    EXPIRED = "expired"
    """It was done, and what it has made is removed."""


class Background(models.Model):
    """A request, and how far it is: see :mod:`store.background`."""

    OPEN = (BackgroundState.WAITING, BackgroundState.RUNNING)

    state = models.CharField(max_length=16, choices=BackgroundState, default=BackgroundState.WAITING)
    error = models.CharField(max_length=ERROR_LENGTH, blank=True)
    """Why it failed."""
    steps = models.PositiveIntegerField(default=0)
    """That are committed: a task that is for another one than the next does nothing."""
    done = models.PositiveBigIntegerField(default=0)
    """How many rows are behind it."""
    created_at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=ACTOR_LENGTH)
    touched_at = models.DateTimeField(default=timezone.now)
    """When its last step was committed."""
    ended_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def percent(self) -> float:
        """How much of the work is behind it."""
        raise NotImplementedError
