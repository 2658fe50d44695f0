"""Groups of devices: a tree."""

from __future__ import annotations

from django.db import models

GROUP_LENGTH = 64
GROUP_DEPTH = 8
STEP = 9
"""Digits of a group's number in paths: a thousand million groups, made and removed, before there is no more."""


class Group(models.Model):
    """A place for devices, which rights and summaries will hold for with all that is below it."""

    # The constraints below begin with the parent, so that their index serves the foreign key too.
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children", db_index=False)
    name = models.CharField(max_length=GROUP_LENGTH)
    path = models.CharField(max_length=STEP * GROUP_DEPTH)
    """The numbers of the groups above it and its own, nine digits each: what is below it begins so, and is one stretch of
    the index. Digits alone, because databases disagree about the order of anything else."""

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["parent", "name"], name="group_once"),
            models.UniqueConstraint(fields=["name"], condition=models.Q(parent__isnull=True), name="group_once_at_the_top"),
        )
        indexes = (models.Index(fields=["path"], name="group_path"),)

    def __str__(self) -> str:
        return self.name

    @property
    def depth(self) -> int:
        """1 at the top."""
        return len(self.path) // STEP
