"""Why a command is not taken: each with a word for programs and a text for people."""

from __future__ import annotations

from typing import ClassVar


class AskError(Exception):
    """It is not taken, and nothing of it is stored."""

    code: ClassVar[str]


class UnknownDeviceError(AskError):
    code = "unknown_device"


class DeviceDisabledError(AskError):
    code = "device_disabled"


class UnknownCommandError(AskError):
    code = "unknown_command"


class BadFieldError(AskError):
    """A field, its value, and what it may be."""

    code = "bad_field"


class NotPermittedError(AskError):
    code = "not_permitted"


class ConfirmationNeededError(AskError):
    """It can do harm: whoever asks for it has to say so once more."""

    code = "confirmation_needed"


class TooManyError(AskError):
    code = "too_many"


class BadConditionError(AskError):
    code = "bad_condition"


class BadExpiryError(AskError):
    code = "bad_expiry"


class OfflineError(AskError):
    code = "offline"


class KeyTakenError(AskError):
    """The same key was given with something else."""

    code = "key_taken"


ERRORS = (
    UnknownDeviceError, DeviceDisabledError, UnknownCommandError, BadFieldError, NotPermittedError, ConfirmationNeededError,
    TooManyError, BadConditionError, BadExpiryError, OfflineError, KeyTakenError,
)  # fmt: skip
