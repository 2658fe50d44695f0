"""What devices are told to do, and what has become of it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from store.models.audit import ACTOR_LENGTH
from store.models.devices import Device
from store.models.files import Delivery
from store.models.media import NAME_LENGTH
from store.models.presence import GATEWAY_LENGTH
from store.models.reports import CAUSE_LENGTH, KIND_LENGTH

CONDITION_LENGTH = 255
EFFECT_LENGTH = 16
TOKEN_LENGTH = 128


class CommandRun(models.Model):
    """One command for many devices, one after another at a pace."""

    name = models.CharField(max_length=KIND_LENGTH)
    """Of the command."""
    scope = models.CharField(max_length=255)
    """Whom it is for, in words."""
    pace = models.FloatField()
    """Devices a second."""
    by = models.CharField(max_length=ACTOR_LENGTH)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"run {self.id} ({self.name})"


class Command(models.Model):
    """One command for one device, from being asked for to the device's own word, or another end: see :mod:`store.commands`.

    ``due_at`` is when workers look at it next, to tell a gateway, to end it or to have it done again.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        """It waits for its device, or for its turn."""
        SENT = "sent"
        """A gateway was to write it. Whether the device has it nobody knows before it answers."""
        ACKNOWLEDGED = "acknowledged"
        """The device says that it is done."""
        FAILED = "failed"
        EXPIRED = "expired"
        """It was too late to send it."""
        CANCELLED = "cancelled"

    OPEN = (State.QUEUED, State.SENT)

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="commands", db_index=False)
    run = models.ForeignKey(CommandRun, on_delete=models.CASCADE, null=True, related_name="commands", db_index=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, null=True, related_name="commands")
    """Of a file that goes down: its life is the command's."""
    name = models.CharField(max_length=KIND_LENGTH)
    """In its protocol's table of commands."""
    kind = models.BigIntegerField()
    """The message's id."""
    effect = models.CharField(max_length=EFFECT_LENGTH)
    fields = models.JSONField(default=dict)
    condition = models.CharField(max_length=CONDITION_LENGTH, blank=True)
    """Of the device's state, without which it is not to leave."""
    is_repeatable = models.BooleanField()
    answer_seconds = models.FloatField()
    """How long the device may take for its next answer."""
    waits_grow = models.BooleanField()
    """Whether it may take longer each time that it is sent again."""
    by = models.CharField(max_length=ACTOR_LENGTH)
    key = models.CharField(max_length=TOKEN_LENGTH, blank=True)
    """Who asks twice with the same one has asked once."""
    waiter = models.CharField(max_length=GATEWAY_LENGTH, blank=True)
    """The gateway whose caller waits for its end."""

    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    reason = models.CharField(max_length=NAME_LENGTH, blank=True)
    """Why it has failed: a word of ours, or the device's."""
    created_at = models.DateTimeField(default=timezone.now)
    not_before = models.DateTimeField()
    expires_at = models.DateTimeField()
    """From then on it is not sent any more."""
    tries = models.PositiveSmallIntegerField(default=0)
    """How often it was sent."""
    sent_at = models.DateTimeField(null=True)
    """The last time; None of one that never was, or of which no byte was written."""
    gateway = models.CharField(max_length=GATEWAY_LENGTH, blank=True)
    sequence = models.BigIntegerField(null=True)
    """By which the device's answer names it."""
    answer_by = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "key"], name="command_once", condition=~models.Q(key="")),)
        indexes = (
            # A device's turn, and its answers.
            models.Index(fields=["device", "id"], name="command_open", condition=models.Q(state__in=("queued", "sent"))),
            models.Index(fields=["device", "-id"], name="command_device"),
            models.Index(fields=["state", "-id"], name="command_state"),
            models.Index(fields=["due_at"], name="command_due", condition=models.Q(due_at__isnull=False)),
            models.Index(fields=["run", "state"], name="command_run", condition=models.Q(run__isnull=False)),
        )

    def __str__(self) -> str:
        return f"command {self.id} ({self.name})"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN


class CommandStep(models.Model):
    """Something that has happened to a command, in the transaction in which it did."""

    command = models.ForeignKey(Command, on_delete=models.CASCADE, related_name="steps", db_index=False)
    at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=Command.State.choices)
    """Of the command since then."""
    cause = models.CharField(max_length=CAUSE_LENGTH)
    """Of :class:`store.commands.moves.Cause`."""
    text = models.CharField(max_length=NAME_LENGTH, blank=True)
    gateway = models.CharField(max_length=GATEWAY_LENGTH, blank=True)
    kind = models.CharField(max_length=KIND_LENGTH, blank=True)
    """Of the message that was sent or received."""
    data = models.BinaryField(null=True)
    """Of a message that was sent its frames; of one that was received its body."""
    sequence = models.BigIntegerField(null=True)
    """By which a message that was sent is named, or one that was received names it."""
    token = models.CharField(max_length=TOKEN_LENGTH, blank=True)
    """Of the task that did it: the same one, coming again, does not do it again."""

    class Meta:
        indexes = (models.Index(fields=["command", "id"], name="command_steps"),)

    def __str__(self) -> str:
        return f"{self.cause} of command {self.command_id}"
