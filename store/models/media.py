"""Photos, recordings and other files of devices."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from store.models.devices import Device
from store.models.reports import CAUSE_LENGTH

FILE_LENGTH = 64
NAME_LENGTH = 255


class Media(models.Model):
    """A photo, a recording or another file of a device: what came of it, and what is left to do.

    It begins with the first of its pieces, in the transaction that stores that one's report, so that nothing that is acked
    is forgotten: while ``due_at`` is set, some worker will see to it.
    """

    class State(models.TextChoices):
        RECEIVING = "receiving"
        """Pieces come."""
        COMPLETE = "complete"
        """All of it is in its file, as the device said it is."""
        DAMAGED = "damaged"
        """All of it is in its file, but the device's checksum is another."""
        INCOMPLETE = "incomplete"
        """Some of it has not come; what has is in its reports."""
        WAITING = "waiting"
        """All of it has come, and there is no room for its file: it is in its reports until there is."""
        REFUSED = "refused"
        """It is longer than what is kept. Nothing of it is."""

    # The constraint below begins with the device, so that its index serves the foreign key too.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="media", db_index=False)
    file = models.CharField(max_length=FILE_LENGTH)
    """Which of the device's files."""
    kind = models.CharField(max_length=16)
    """What it is: by its bytes, once they are there."""
    name = models.CharField(max_length=NAME_LENGTH, blank=True)
    """As the device says it. Never the name of anything of ours."""
    channel = models.IntegerField(null=True)
    cause = models.CharField(max_length=CAUSE_LENGTH, blank=True)
    time = models.DateTimeField()
    received_at = models.DateTimeField()
    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)

    state = models.CharField(max_length=16, choices=State.choices, default=State.RECEIVING)
    reason = models.CharField(max_length=NAME_LENGTH, blank=True)
    """Why it is in this state, or what is odd about it."""
    expected_bytes = models.BigIntegerField(null=True)
    received_bytes = models.BigIntegerField(default=0)
    crc32 = models.BigIntegerField(null=True)
    has_ended = models.BooleanField(default=False)
    """Whether the device has said that this is all."""

    content_type = models.CharField(max_length=64, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    """Of its bytes, and their file's name; empty while there is none."""
    extension = models.CharField(max_length=8, blank=True)
    width = models.IntegerField(null=True)
    height = models.IntegerField(null=True)
    has_thumbnail = models.BooleanField(default=False)

    touched_at = models.DateTimeField()
    """When the newest piece came."""
    due_at = models.DateTimeField(null=True)
    tries = models.IntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "file"], name="media_once"),)
        indexes = (
            models.Index(fields=["due_at"], name="media_due", condition=models.Q(due_at__isnull=False)),
            models.Index(fields=["touched_at"], name="media_receiving", condition=models.Q(state="receiving")),
            models.Index(fields=["received_at", "id"], name="media_received"),
            models.Index(fields=["sha256"], name="media_sha256"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.id} of device {self.device_id}"


class MediaPiece(models.Model):
    """Where a report's bytes belong in a file. Once they are there, the report's body is without them."""

    media = models.ForeignKey(Media, on_delete=models.CASCADE, related_name="pieces", db_index=False)
    time = models.DateTimeField()
    digest = models.BinaryField(max_length=16)
    """With the time, which of the device's reports."""
    data_at = models.IntegerField()
    """Where in the body of the report."""
    data_size = models.IntegerField()
    offset = models.BigIntegerField()
    is_moved = models.BooleanField(default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["media", "offset", "time", "digest"], name="media_piece_once"),)
        indexes = (models.Index(fields=["digest"], name="media_piece_digest"),)

    def __str__(self) -> str:
        return f"{self.data_size} bytes of media {self.media_id} from {self.offset}"


class MediaOutcome(models.Model):
    """What became of a file: a row each time its state is settled, in that transaction.

    A file's own row begins with the first of its pieces, so that its id says nothing of when it was whole.
    """

    media = models.ForeignKey(Media, on_delete=models.CASCADE, related_name="outcomes")
    state = models.CharField(max_length=16, choices=Media.State.choices)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"media {self.media_id} is {self.state}"
