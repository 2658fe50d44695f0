"""The device's end of a GB/T 32960.3 link, as a car's terminal of 2016.

car                                         platform
  ── 08 FE time sync ───────────────────────▶  once, while it does not know what time it is
  ◀──────────────── 08 01 (Beijing time) ────
  ── 01 FE login (time, serial of the day) ─▶
  ◀──────────────── 01 01 (time) ────────────
  ── 02 FE report, 03 FE reissue ───────────▶  03 for what was made or sent before this login
  ◀──────────────── 02 01, 03 01 (time) ─────
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from construct import ConstructError

from protocols.compiler import compile
from protocols.executions import Executions
from protocols.gb32960.bodies_2016 import REPORT_2016
from protocols.gb32960.car import CODE_BYTES, Car
from protocols.gb32960.control import CONTROL, CONTROL_BODY
from protocols.gb32960.framing import FrameSplitter
from protocols.gb32960.header import (
    COMMAND,
    ERROR,
    FRAME_BYTES,
    HEAD_BYTES,
    MAX_DATA_BYTES,
    SUCCESS,
    frame,
    identity_of,
    unique_id,
)
from protocols.gb32960.messages import MESSAGES, REISSUE, REPORT
from protocols.gb32960.parameters import LENGTHS, PARAMETERS, QUERY_PARAMETERS, READ_ONLY, SET_PARAMETERS, TABLE_2016
from protocols.gb32960.rows import TIME, TIME_BYTES
from protocols.gb32960.session import HEARTBEAT, TIME_SYNC, VEHICLE_LOGIN, VEHICLE_LOGIN_2016
from protocols.message import Malformed, Send
from protocols.terminal import Acked, Made, Moment, TerminalEvent

MAX_AWAITED = 4096
"""Seconds of reports whose answer is waited for."""
_START = b"##"
_EAST = timedelta(hours=8)
_FACTORY_SETTINGS: dict[str, Any] = {
    "store_period_ms": 10_000,
    "report_period_s": 10,
    "alarm_report_period_ms": 1000,
    "domain_bytes": 14,
    "domain": "ev.example.com",
    "port": 32960,
    "hardware_version": "HW1.0",
    "firmware_version": "FW1.4",
    "heartbeat_period_s": 60,
    "terminal_timeout_s": 60,
    "platform_timeout_s": 60,
    "login_pause_min": 30,
    "public_domain_bytes": 18,
    "public_domain": "public.example.com",
    "public_port": 32960,
    "sampling": "off",
}
_RANGES = {
    "store_period_ms": range(60_001),
    "report_period_s": range(1, 601),
    "alarm_report_period_ms": range(60_001),
    "port": range(65_532),
    "heartbeat_period_s": range(1, 241),
    "terminal_timeout_s": range(1, 601),
    "platform_timeout_s": range(1, 601),
    "login_pause_min": range(1, 241),
    "public_port": range(65_532),
    "sampling": ("on", "off"),
}
_NAMES = {id: str(row[0].name) for id, row in TABLE_2016.items()}


class GB32960Terminal:
    """A car. It keeps its clock, its parameters and the serial of its logins from link to link.

    Raises: ValueError when the identity does not fit the header's field.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.parameters = dict(_FACTORY_SETTINGS)
        self.heartbeat_seconds = float(_FACTORY_SETTINGS["heartbeat_period_s"])
        self._id = unique_id(identity)
        self._car = Car(identity)
        self.executed = Executions()
        self._is_online = False
        self._clock: datetime | None = None
        """The latest time that it has heard of."""
        self._login_day: date | None = None
        self._login_serial = 0
        self._next = 0
        self._live_from = 0
        """Reports before this one were made or sent before, and are reissued."""
        self._awaited: OrderedDict[bytes, list[int]] = OrderedDict()
        """Reports on their way, by the time in them, which is all that an answer tells."""
        self._splitter = FrameSplitter(MAX_DATA_BYTES + FRAME_BYTES)

    @property
    def is_online(self) -> bool:
        return self._is_online

    def connect(self, moment: Moment | None = None) -> bytes:
        self._clock = moment.time if moment else self._clock
        self._is_online = False
        self._splitter = FrameSplitter(MAX_DATA_BYTES + FRAME_BYTES)
        self._awaited.clear()
        return self._login() if self._clock else self._frame(TIME_SYNC)

    def receive(self, data: bytes) -> Sequence[TerminalEvent]:
        events: list[TerminalEvent] = []
        for found in self._splitter.feed(data):
            if isinstance(found, Malformed) or identity_of(found) != self.identity:
                continue
            command, flag, body = found[2], found[3], found[HEAD_BYTES:-1]
            if flag != COMMAND:
                events += self._answered(command, flag, body)
            elif answer := self._obey(command, body):
                if answer[3] == SUCCESS:
                    self.executed.add(command, 0, body)
                events.append(Send(answer))
        return events

    def report(self, moment: Moment) -> Sequence[Made]:
        self._clock = moment.time
        sequence, self._next = self._next, self._next + 1
        if not self._is_online:
            self._live_from = self._next
        body = compile(REPORT_2016).build({"time": moment.time, "bodies": self._car.bodies(moment)})
        return [Made(sequence, MESSAGES[REPORT].name, body)]

    def send(self, waiting: Sequence[Made]) -> tuple[bytes, int]:
        if not self._is_online:
            return b"", 0
        frames = []
        for made in waiting:
            frames.append(self._frame(REISSUE if made.sequence < self._live_from else REPORT, made.body))
            self._live_from = max(self._live_from, made.sequence + 1)
            self._await(made)
        return b"".join(frames), len(frames)

    def heartbeat(self) -> bytes:
        return self._frame(HEARTBEAT) if self._is_online else b""

    def _answered(self, command: int, flag: int, body: bytes) -> list[TerminalEvent]:
        if flag != SUCCESS:
            # Refused, or to be sent again, as whoever runs it does in time.
            return []
        if command == TIME_SYNC and not self._is_online:
            time = TIME.parse(body) if len(body) == TIME_BYTES else None
            if isinstance(time, datetime):
                self._clock = time
                return [Send(self._login())]
        elif command == VEHICLE_LOGIN:
            self._is_online = True
        elif command in (REPORT, REISSUE) and body[:TIME_BYTES] in self._awaited:
            sent = self._awaited[body[:TIME_BYTES]]
            acked = Acked(sent.pop(0))
            if not sent:
                del self._awaited[body[:TIME_BYTES]]
            return [acked]
        return []

    def _await(self, made: Made) -> None:
        sent = self._awaited.setdefault(made.body[:TIME_BYTES], [])
        if made.sequence not in sent:
            sent.append(made.sequence)
        self._awaited.move_to_end(made.body[:TIME_BYTES])
        if len(self._awaited) > MAX_AWAITED:
            self._awaited.popitem(last=False)

    def _login(self) -> bytes:
        assert self._clock is not None
        day = (self._clock + _EAST).date()
        self._login_serial = self._login_serial + 1 if day == self._login_day else 1
        self._login_day = day
        login = {
            "time": self._clock,
            "login_serial": self._login_serial,
            "iccid": self._car.iccid,
            "pack_count": 1,
            "code_bytes": CODE_BYTES,
            "pack_codes": [self._car.pack_code],
            "extra": b"",
        }
        return self._frame(VEHICLE_LOGIN, VEHICLE_LOGIN_2016.build(login))

    def _obey(self, command: int, body: bytes) -> bytes:
        """The answer to a command, and a new login where it begins anew."""
        try:
            if command == QUERY_PARAMETERS:
                return self._tell(body)
            if command == SET_PARAMETERS:
                return self._frame(command, body[:TIME_BYTES], SUCCESS if self._set(body) else ERROR)
            if command == CONTROL:
                return self._control(body)
        except (ConstructError, ValueError):
            return self._frame(command, body[:TIME_BYTES], ERROR)
        return b""

    def _tell(self, body: bytes) -> bytes:
        """The parameters asked for, each text behind its length."""
        asked = MESSAGES[QUERY_PARAMETERS].layouts["2016"].parse(body)
        names = set(asked.ids) | {_NAMES[length] for text, length in LENGTHS.items() if _NAMES[text] in asked.ids}
        told = {name: self.parameters[name] for name in _NAMES.values() if name in names}
        answer = {"time": asked.time, "count": None, "parameters": told}
        return self._frame(QUERY_PARAMETERS, PARAMETERS["2016"].build(answer), SUCCESS)

    def _set(self, body: bytes) -> bool:
        """Take all parameters, or none if one of them is wrong."""
        entries = PARAMETERS["2016"].parse(body).parameters
        is_good = not entries.trailing and all(
            item.id not in READ_ONLY and item.value in _RANGES.get(item.name, (item.value,)) for item in entries
        )
        if is_good:
            self._take({item.name: item.value for item in entries})
        return is_good

    def _take(self, parameters: Mapping[str, Any]) -> None:
        self.parameters.update(parameters)
        self.heartbeat_seconds = float(self.parameters["heartbeat_period_s"])

    def _control(self, body: bytes) -> bytes:
        asked = CONTROL_BODY.parse(body)
        if isinstance(asked.command, int):
            return self._frame(CONTROL, body[:TIME_BYTES], ERROR)
        answer = self._frame(CONTROL, body[:TIME_BYTES], SUCCESS)
        if asked.command == "factory_settings":
            self._take(_FACTORY_SETTINGS)
        if asked.command == "open_sampling":
            self._take({"sampling": "on"})
        if asked.command in ("switch_off", "disconnect", "reset", "factory_settings"):
            self._is_online = False
        if asked.command in ("reset", "factory_settings") and self._clock:
            answer += self._login()
        return answer

    def _frame(self, command: int, body: bytes = b"", flag: int = COMMAND) -> bytes:
        return frame(_START, command, flag, self._id, body)
