"""Rules of operators, and how devices stand by them."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone

from store.models.alarms import ALARM_LENGTH, SEVERITY_LENGTH, Severity
from store.models.devices import Device
from store.models.groups import Group


class Rule(models.Model):
    """What operators want to be told of, as :mod:`store.rules.declaration` has it."""

    name = models.CharField(max_length=ALARM_LENGTH, unique=True)
    """Which its alarms bear too: it is never changed."""
    is_enabled = models.BooleanField(default=True)
    is_removed = models.BooleanField(default=False)
    """Then it is gone for everybody but workers that may be at a batch with it; the row goes when no device stands by it."""
    severity = models.CharField(max_length=SEVERITY_LENGTH, choices=Severity, default=Severity.WARNING)
    group = models.ForeignKey(Group, on_delete=models.PROTECT, null=True, related_name="rules")
    """For devices in it and below it only."""
    scope = models.JSONField(default=dict)
    """For which devices it is otherwise: ``tag``, ``protocol`` or ``devices``; empty for all."""
    condition = models.JSONField()
    for_seconds = models.PositiveIntegerField(default=0)
    clear_for_seconds = models.PositiveIntegerField(default=0)
    version = models.PositiveIntegerField(default=1)
    """Goes up with each change: how devices stood by an earlier one counts for nothing."""
    changed_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"rule {self.name}"

    @property
    def told(self) -> dict[str, Any]:
        """What a declaration has beside its scope."""
        return {
            "name": self.name,
            "enabled": self.is_enabled,
            "severity": self.severity,
            "when": self.condition,
            "for_seconds": self.for_seconds,
            "clear_for_seconds": self.clear_for_seconds,
        }


class RuleBook(models.Model):
    """One row, by which workers notice that what they know of rules is not so any more."""

    version = models.PositiveBigIntegerField(default=0)
    """Goes up with each change of a rule."""
    members = models.PositiveBigIntegerField(default=0)
    """Goes up when devices change their groups or tags."""

    def __str__(self) -> str:
        return f"rules {self.version}, members {self.members}"


class Phase(models.TextChoices):
    PENDING = "pending"
    """It holds, and not for long enough yet."""
    ACTIVE = "active"
    """Its alarm is ongoing."""
    CLEARING = "clearing"
    """It is, and the rule does not hold any more, and not for long enough yet."""


class RuleState(models.Model):
    """How a device stands by a rule: there is a row only where there is something to keep in mind."""

    # The constraint below begins with the device, so that its index serves the foreign key too.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="+", db_index=False)
    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="states")
    rule_version = models.PositiveIntegerField()
    phase = models.CharField(max_length=16, choices=Phase)
    since = models.DateTimeField()
    """The time of the report that began the phase: only later ones can end it."""
    told_at = models.DateTimeField(null=True)
    """The time of the report that was counted last."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "rule"], name="rulestate_once"),)

    def __str__(self) -> str:
        return f"rule {self.rule_id} {self.phase} of device {self.device_id}"
