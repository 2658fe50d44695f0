"""Devices, what they said, how they stand, and what could not be read."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

PROTOCOL_LENGTH = 32
IDENTITY_LENGTH = 64
KIND_LENGTH = 64
CAUSE_LENGTH = 64
ALARM_LENGTH = 64
HANDLER_LENGTH = 128
CREDENTIAL_LENGTH = 128
VERSION_LENGTH = 64
FILE_LENGTH = 64
NAME_LENGTH = 255


class Device(models.Model):
    """Something that connects, by its name within its protocol."""

    protocol = models.CharField(max_length=PROTOCOL_LENGTH)
    identity = models.CharField(max_length=IDENTITY_LENGTH)
    name = models.CharField(max_length=128, blank=True)
    is_enabled = models.BooleanField(default=True)
    credential = models.CharField(max_length=CREDENTIAL_LENGTH, blank=True, default="", db_default="")
    """What it has to show, sealed; empty for a device that has none, which then may not come in where one is asked for."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["protocol", "identity"], name="device_identity"),)

    def __str__(self) -> str:
        return f"{self.protocol} {self.identity}"


class Position(models.Model):
    """Where a device was and how it moved.

    Units: degrees WGS-84, metres, km/h, degrees clockwise from north.
    """

    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)
    altitude_m = models.FloatField(null=True)
    speed_kmh = models.FloatField(null=True)
    course_deg = models.FloatField(null=True)

    class Meta:
        abstract = True


class Report(Position):
    """One moment of one device, stored once however often it was sent.

    Nothing may refer to it by a foreign key: on PostgreSQL its table is in partitions (:mod:`store.partitions`), whose key
    is (id, time).
    """

    # The constraint below begins with the device, so that its index serves the foreign key too.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="reports", db_index=False)
    time = models.DateTimeField()
    """When the device says it was; where it says nothing usable, when the message was received."""
    received_at = models.DateTimeField()
    kind = models.CharField(max_length=KIND_LENGTH)
    sequence = models.BigIntegerField()
    digest = models.BinaryField(max_length=16)
    values = models.JSONField(default=dict)
    alarms = models.JSONField(default=list)
    head = models.BinaryField()
    body = models.BinaryField()

    class Meta:
        # Read backwards, its index is the one on (device, time desc) that pages want: a second would only be written.
        constraints = (models.UniqueConstraint(fields=["device", "time", "digest"], name="report_once"),)

    def __str__(self) -> str:
        return f"{self.kind} of device {self.device_id} at {self.time:%Y-%m-%d %H:%M:%S}"


class State(Position):
    """How a device stands: one row each, which never goes back in time."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="state")
    last_seen = models.DateTimeField(null=True)
    """When the newest message was received."""
    time = models.DateTimeField(null=True)
    """The newest dated report's time: values and alarms are as of then."""
    position_time = models.DateTimeField(null=True)
    """The time of the newest report that is a position: latitude to course are as of then."""
    values = models.JSONField(default=dict)
    alarms = models.JSONField(default=list)

    class Meta:
        indexes = (models.Index(fields=["last_seen", "device"], name="state_last_seen"),)

    def __str__(self) -> str:
        return f"state of device {self.device_id}"


class AlarmState(models.TextChoices):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class AlarmReason(models.TextChoices):
    """What an alarm was, as whoever closed it says."""

    REAL = "real"
    FALSE = "false"
    TEST = "test"
    DUPLICATE = "duplicate"


class Alarm(models.Model):
    """An alarm of a device: one row for each kind, which repeats, ends and begins again, as :mod:`store.alarms` says.

    It does not expire. Times are the device's own; only when somebody handled it is by our clock.
    """

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="alarms", db_index=False)
    kind = models.CharField(max_length=ALARM_LENGTH)
    state = models.CharField(max_length=16, choices=AlarmState, default=AlarmState.OPEN)
    first_at = models.DateTimeField()
    """The time of the report it was opened by, and the device's place then."""
    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)
    last_at = models.DateTimeField()
    times = models.PositiveIntegerField()
    """How many reports have told of it since it was opened."""
    is_ongoing = models.BooleanField()
    standing_at = models.DateTimeField(null=True)
    """The newest report that said it stands, and of which kind that was: a later one of the kind ends it."""
    standing_kind = models.CharField(max_length=KIND_LENGTH, blank=True)
    settled_at = models.DateTimeField(null=True)
    """Up to which time it is closed: only what is later opens it again."""
    reopenings = models.PositiveIntegerField(default=0)
    handled_at = models.DateTimeField(null=True)
    """When an operator last acknowledged or closed it; if it was opened again since, that was about the time before."""
    handled_by = models.CharField(max_length=HANDLER_LENGTH, blank=True, default="", db_default="")
    note = models.TextField(blank=True, default="", db_default="")
    reason = models.CharField(max_length=16, choices=AlarmReason, blank=True, default="", db_default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "kind"], name="alarm_once"),)
        # Short, however many alarms there have been: every batch asks. No index has a time, so that rows that repeat are
        # updated in their place.
        indexes = (models.Index(fields=["device"], condition=models.Q(is_ongoing=True), name="alarm_ongoing"),)

    def __str__(self) -> str:
        return f"{self.kind} of device {self.device_id}"


class Quarantine(models.Model):
    """A message that could not be decoded whole, with all that decoding it again takes."""

    # As with reports, the constraint's index serves the foreign key.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="quarantine", db_index=False)
    kind = models.CharField(max_length=KIND_LENGTH)
    kind_id = models.BigIntegerField()
    sequence = models.BigIntegerField()
    head = models.BinaryField()
    body = models.BinaryField()
    digest = models.BinaryField(max_length=16)
    """Of kind and body of the whole message, so that one sent again is kept once."""
    received_at = models.DateTimeField()
    error_cause = models.CharField(max_length=CAUSE_LENGTH)
    error_path = models.TextField(blank=True)
    error_text = models.TextField(blank=True)
    version = models.CharField(max_length=VERSION_LENGTH, blank=True, default="", db_default="")
    """Of the protocol's definition that could not read it; empty if there is no such protocol, or none was kept yet."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["device", "digest"], name="quarantine_once"),)

    def __str__(self) -> str:
        return f"{self.kind} of device {self.device_id}: {self.error_cause}"


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
