"""A protocol whose definition changes.

A body is words: a number, by which it is a body of its own, and what becomes of it.
"""

from __future__ import annotations

import os
import signal
from datetime import timedelta

from protocols.message import Message
from protocols.report import Decoded, DecodeError, Report
from tests.records import NOON
from tests.tasks.fakes import FakeProtocol

LATER = timedelta(hours=8)


class Changing(FakeProtocol):
    """Of edition 1 or 2."""

    def __init__(self, edition: int = 2) -> None:
        self.edition = edition

    def whole_message(self, kind: str, part: Message) -> Message | None:
        return None if part.body.endswith(b"part") else part._replace(kind=0x0200)

    def decode(self, message: Message) -> Decoded:
        number, *words = message.body.decode().split()
        time = NOON + timedelta(seconds=int(number))
        one = Report("location", message.body, time, 10.0, 20.0, values={"raw": int(number)})
        if "other" in words:
            return Decoded([Report("part", message.body, time, values={"level_m": 0.5})])
        if self.edition == 1:
            if "mended" in words or "never" in words:
                return Decoded([], DecodeError("value", "old", "cannot be read"))
            one.alarms = ["old"] if "alarm" in words else []
            return Decoded([one])
        if "gone" in words or "never" in words:
            return Decoded([], DecodeError("value", "new", "cannot be read any more"))
        if "kill" in words:
            os.kill(os.getpid(), signal.SIGKILL)
        while "loop" in words:
            pass
        if "same" in words:
            return Decoded([one])
        one.values = {"level_m": int(number) / 10}
        one.latitude = 11.0
        if "later" in words:
            one.time = time + LATER
        if "alarm" in words or "mended" in words:
            one.alarms = ["new"]
        if "split" in words:
            other = Report("part", message.body + b" other", time, values={"level_m": 0.5})
            return Decoded([one, other])
        if "renamed" in words:
            one.kind = "place"
        return Decoded([one])
