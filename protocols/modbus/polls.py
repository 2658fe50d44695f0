"""Reading a unit again and again: its groups at their intervals, what it is at login, whether it is back.

Each of these is a client of the line. It says when it wants the line and what it asks then, and makes of the answer,
or of none, what is to be told.
"""

from __future__ import annotations

from math import floor
from typing import NamedTuple, Protocol

from protocols.modbus import kinds
from protocols.modbus.pdu import (
    BIT_READS,
    EXCEPTION_BIT,
    ExceptionCode,
    Request,
    identification_request,
)
from protocols.modbus.planner import Block, GroupPlan, UnitPlan, halves, longer
from protocols.modbus.reading import ANSWERED, REFUSED, SILENT, UNIT_OFFLINE, UNIT_ONLINE, Result, head, reading_body

COMMAND, READ_BACK, LOGIN, POLL, PROBE = range(5)
"""Who goes first."""
OFFLINE_POLLS = 3
"""So many polls in a row without an answer make a unit offline."""
FIRST_PROBE_SECONDS = 10.0
LAST_PROBE_SECONDS = 300.0
BUSY_SECONDS = 1.0
"""A unit that is busy is asked again after this, not at once."""
REST_SECONDS = 300.0
"""A point that the unit says does not exist is asked for again after this."""
MAX_RETRY_SECONDS = 60.0
"""A group of which nothing could be read is tried again after this at the latest, be it one that is read once a day."""
MAX_OBJECTS_BYTES = 4096
"""What a unit may say of itself, in all: a unit that always announces more would never end."""
_UNIT_AWAY = (ExceptionCode.GATEWAY_PATH, ExceptionCode.GATEWAY_TARGET)


class Note(NamedTuple):
    """Something to be stored: a message without the names that the line gives it."""

    kind: int
    head: bytes
    body: bytes


class Unit:
    """What is known of a unit on the line."""

    def __init__(self, plan: UnitPlan) -> None:
        self.plan = plan
        self.number = plan.unit
        self.limits = plan.model.limits
        self.is_online = True
        self.is_admitted = True
        """False once the platform has refused what it said: it is left alone on this link."""
        self.served_at = 0.0
        """When it was last asked: the others come first."""
        self.failed_polls = 0
        self.failing_since = 0.0
        self.answered_at = float("-inf")
        self.probe_at = 0.0
        self.probes = 0
        self.told_online = True
        """What the store was last told."""
        self.status_sequence = 0
        """Of the status message that is not stored yet; 0 if there is none. A second one waits for it."""
        self.is_line_silent = False

    def answered(self, now: float) -> None:
        """It is there: an exception is an answer too."""
        self.failed_polls = 0
        self.answered_at = now
        self.is_online = True

    def poll_failed(self, now: float, is_line_silent: bool) -> None:
        """A poll has failed, retries included."""
        if not self.failed_polls:
            self.failing_since = now
        self.failed_polls += 1
        if self.is_online and self.failed_polls >= OFFLINE_POLLS:
            self.is_online, self.is_line_silent = False, is_line_silent
            self.probes, self.probe_at = 0, now + FIRST_PROBE_SECONDS

    def status(self) -> Note | None:
        """What is to be told of it, if it is not what was told before and that is stored."""
        if self.is_online == self.told_online or self.status_sequence:
            return None
        self.told_online = self.is_online
        if self.is_online:
            return Note(kinds.UNIT_ONLINE, head(self.plan.model), UNIT_ONLINE.build({"probes": min(self.probes, 255)}))
        cause = "line_silent" if self.is_line_silent else "no_answer"
        body = UNIT_OFFLINE.build({"cause": cause, "polls": min(self.failed_polls, 255)})
        return Note(kinds.UNIT_OFFLINE, head(self.plan.model), body)


class Client(Protocol):
    """Somebody who wants the line now and then."""

    unit: Unit

    @property
    def rank(self) -> int:
        """Who goes first: the lower."""

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun something that belongs together."""

    @property
    def due(self) -> float | None:
        """When it wants the line; None while it does not."""

    def request(self, now: float) -> Request | None:
        """What it asks; None if it thinks better of it."""

    def answered(self, pdu: bytes, now: float) -> list[Note]:
        """The answer has come, be it an exception."""

    def unanswered(self, now: float) -> list[Note]:
        """Its time is over."""

    def told(self, sequence: int) -> None:
        """What it made has become a message of this number."""

    def settled(self, sequence: int) -> None:
        """The message of this number is stored."""


class Poll:
    """A group of a unit. It is read anew only when its last reading is stored: who stores nothing asks for nothing."""

    def __init__(self, unit: Unit, plan: GroupPlan, first_at: float) -> None:
        self.unit = unit
        self.group = plan.group
        self.interval_seconds = plan.interval_seconds
        self.unsettled = 0
        self._blocks = list(plan.blocks)
        self._due_at = first_at
        self._is_login = plan.group.at_login
        self._waiting: list[Block] = []
        self._results: list[Result] = []
        self._attempts = 0
        self._not_before = self._began_at = 0.0
        self._asked: Block | None = None
        self._lost: dict[Block, Block] = {}
        """By block of the plan: what was last asked for it in vain."""
        self._resting: dict[Block, float] = {}

    @property
    def rank(self) -> int:
        return LOGIN if self._is_login else POLL

    @property
    def is_under_way(self) -> bool:
        return bool(self._waiting)

    @property
    def due(self) -> float | None:
        if self.unsettled or not self.unit.is_online or not self.unit.is_admitted:
            return None
        return self._not_before if self._waiting else self._due_at

    def request(self, now: float) -> Request | None:
        if not self._waiting:
            self._waiting = [block for block in self._blocks if self._resting.get(block, 0.0) <= now]
            self._results, self._attempts, self._not_before, self._began_at = [], 0, now, now
            # A slot that was missed is not made up for.
            self._due_at += self.interval_seconds * (floor((now - self._due_at) / self.interval_seconds) + 1)
        if not self._waiting:
            return None
        block = self._waiting[0]
        # After a time-out the next request differs, so that the late answer is not taken for its answer.
        self._asked = (longer(block, self.unit.limits) if self._lost.get(block) == block else None) or block
        return self._asked.request(self.unit.number)

    def answered(self, pdu: bytes, now: float) -> list[Note]:
        block = self._waiting[0]
        if pdu[0] & EXCEPTION_BIT:
            return self._refused(block, pdu[1], now)
        self._lost.pop(block, None)
        return self._done(Result(block, ANSWERED, 0, _trimmed(block, pdu[2:])))

    def unanswered(self, now: float) -> list[Note]:
        block = self._waiting[0]
        self._lost[block] = self._asked or block
        self._attempts += 1
        if self._attempts <= self.unit.limits.retries:
            return []
        return self._done(Result(block, SILENT))

    @property
    def is_lost(self) -> bool:
        """Whether the last request that it made is given up: a poll has failed, retries included."""
        return self._attempts == 0

    def told(self, sequence: int) -> None:
        self.unsettled = sequence

    def settled(self, sequence: int) -> None:
        if sequence == self.unsettled:
            self.unsettled = 0

    def abandon(self) -> None:
        """The unit is offline: what was begun is begun anew when it is back."""
        if self._waiting:
            self._waiting, self._due_at = [], self._began_at

    def _refused(self, block: Block, code: int, now: float) -> list[Note]:
        self._lost.pop(block, None)
        if code == ExceptionCode.BUSY and self._attempts < self.unit.limits.retries:
            self._attempts += 1
            self._not_before = now + BUSY_SECONDS
            return []
        if code in (ExceptionCode.ILLEGAL_DATA_ADDRESS, ExceptionCode.ILLEGAL_DATA_VALUE):
            parts = halves(block, self.group.points)
            if parts:
                # Somewhere in it is what the unit does not have, or it is more than the unit gives at once.
                at = self._blocks.index(block)
                self._blocks[at : at + 1] = parts
                self._waiting[:1] = parts
                self._attempts = 0
                return []
            self._resting[block] = now + REST_SECONDS
        elif code == ExceptionCode.ILLEGAL_FUNCTION:
            self._resting[block] = float("inf")
        return self._done(Result(block, REFUSED, code))

    def _done(self, result: Result) -> list[Note]:
        """A block is done; with the last one the reading is, unless nothing was read."""
        self._results.append(result)
        del self._waiting[0]
        self._attempts = 0
        if self._waiting:
            return []
        if all(result.outcome == SILENT for result in self._results):
            self._due_at = min(self._due_at, self._began_at + MAX_RETRY_SECONDS)
            return []
        self._is_login = False
        return [Note(kinds.READING, head(self.unit.plan.model, self.group.name, self.group.version), reading_body(self._results))]


class Identification:
    """Asking a unit once what it is, object after object, for as long as it says that there are more."""

    def __init__(self, unit: Unit, first_at: float) -> None:
        self.unit = unit
        self._due_at: float | None = first_at
        self._object = 0
        self._objects = b""

    rank = LOGIN

    @property
    def is_under_way(self) -> bool:
        return bool(self._objects)

    @property
    def due(self) -> float | None:
        return self._due_at if self.unit.is_online and self.unit.is_admitted else None

    def request(self, now: float) -> Request | None:
        return identification_request(self.unit.number, self.unit.plan.model.identification, self._object)

    def answered(self, pdu: bytes, now: float) -> list[Note]:
        if pdu[0] & EXCEPTION_BIT:
            return self._done()
        self._objects += pdu[7:]
        has_more, following = pdu[4] == 0xFF, pdu[5]
        if not has_more or following <= self._object or len(self._objects) > MAX_OBJECTS_BYTES:
            return self._done()
        self._object = following
        return []

    def unanswered(self, now: float) -> list[Note]:
        return self._done()

    def told(self, sequence: int) -> None:
        pass

    def settled(self, sequence: int) -> None:
        pass

    def _done(self) -> list[Note]:
        self._due_at = None
        return [Note(kinds.IDENTIFICATION, head(self.unit.plan.model), self._objects)] if self._objects else []


class Probe:
    """Looking whether an offline unit is back, less and less often: a dead unit must not eat the line's time."""

    rank = PROBE
    is_under_way = False

    def __init__(self, unit: Unit, block: Block) -> None:
        self.unit = unit
        self._request = block.request(unit.number)

    @property
    def due(self) -> float | None:
        return None if self.unit.is_online or not self.unit.is_admitted else self.unit.probe_at

    def request(self, now: float) -> Request | None:
        return self._request

    def answered(self, pdu: bytes, now: float) -> list[Note]:
        self.unit.probes += 1
        return []

    def unanswered(self, now: float) -> list[Note]:
        self.unit.probes += 1
        self.unit.probe_at = now + min(FIRST_PROBE_SECONDS * 2 ** min(self.unit.probes, 5), LAST_PROBE_SECONDS)
        return []

    def told(self, sequence: int) -> None:
        pass

    def settled(self, sequence: int) -> None:
        pass


def is_unit_away(pdu: bytes) -> bool:
    """Whether a gateway says that it does not reach the unit: as good as no answer."""
    return bool(pdu[0] & EXCEPTION_BIT) and pdu[1] in _UNIT_AWAY


def _trimmed(block: Block, data: bytes) -> bytes:
    """Without what was asked for beyond the block to make the answer longer."""
    if block.function not in BIT_READS:
        return data[: 2 * block.quantity]
    spare = -block.quantity % 8
    bits = bytearray(data[: (block.quantity + 7) // 8])
    bits[-1] &= 0xFF >> spare
    return bytes(bits)
