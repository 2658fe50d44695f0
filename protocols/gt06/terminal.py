"""The device's end of a GT06 link: a tracker in a car, with a small battery of its own."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC
from typing import Any
from zlib import crc32

from construct import ConstructError

from protocols.compiler import compile
from protocols.executions import Executions
from protocols.framing import MarkedSplitter
from protocols.gt06.alarms import ROWS as ALARM_ROWS
from protocols.gt06.codec import has_check_digit
from protocols.gt06.frame import LONG, MAX_FRAME_BYTES, SHAPES, SHORT, check_strict, frame, open_frame
from protocols.gt06.positions import LOCATION
from protocols.gt06.session import HEARTBEAT, HEARTBEAT_STATUS, HEARTBEAT_VOLTAGE, LOGIN, LOGINS, VOLTAGE_STATUS
from protocols.gt06.texts import COMMAND, REPLY
from protocols.gt06.texts import ROWS as TEXT_ROWS
from protocols.message import Malformed, Message, Send
from protocols.terminal import Acked, Made, Moment, TerminalEvent

MAX_AWAITED = 1024
"""Alarms whose answer is waited for. Far fewer than serial numbers, so that a late answer can't mean another one."""
REPORTS_PER_ALARM = 10
_ALARM = 0x26
_LOCATION_TYPE = 0x22
_ROWS = {row.id: row for row in (*ALARM_ROWS, *TEXT_ROWS)}
_COMMAND = _ROWS[COMMAND]
_COMMAND_REPLY = _ROWS[REPLY].layouts["standard"]
_ALARM_LAYOUT = _ROWS[_ALARM].layouts["standard"]
_LOCATION_LAYOUT = LOCATION["status and mileage"]
_TYPE_CODE, _ZONE_WORD, _ENGLISH = 0x3608, 0x0002, 2
_GPS_BYTES = 12
_START_ODOMETER_KM = 12_000.0
_SPEED_LIMIT_KMH = 100.0
_CELL_DEGREES = 0.02
_ALARMS = ("vibration", "power_off", "displacement", "battery_low", "emergency")
_IMEI_DIGITS = 15
_ERROR = "Error!"
"""How the reply to a command begins that is none of the device's."""


class GT06Terminal:
    """A tracker. It keeps its serial number from link to link, as a device does that stays powered on.

    Sequences as they are given out go on past 65,535; on the wire they are modulo 65,536.

    Raises: ValueError when the identity is no IMEI.
    """

    heartbeat_seconds = 180.0

    def __init__(self, identity: str) -> None:
        if not (identity.isascii() and identity.isdecimal()) or len(identity) != _IMEI_DIGITS:
            raise ValueError(f"{identity!r} is no IMEI of {_IMEI_DIGITS} digits")
        self.identity = identity
        self._seed = crc32(identity.encode())
        self._has_voltage = bool(self._seed & 1)
        self._next = 1
        self._reports = 0
        self._login = 0
        self._is_online = False
        self._is_oil_cut = False
        self._moment: Moment | None = None
        self._awaited: OrderedDict[int, int] = OrderedDict()
        self._splitter = _splitter()
        self.executed = Executions()
        self.silent: set[str] = set()
        """Words of commands that it obeys without a reply."""

    @property
    def is_online(self) -> bool:
        return self._is_online

    def connect(self, moment: Moment | None = None) -> bytes:
        self._is_online = False
        self._splitter = _splitter()
        self._login = self._take_sequence()
        login = {"terminal_id": self.identity, "type_code": _TYPE_CODE, "zone": _ZONE_WORD, "extra": b""}
        return frame(SHORT, LOGIN, compile(LOGINS["zone"]).build(login), self._login)

    def receive(self, data: bytes) -> Sequence[TerminalEvent]:
        events: list[TerminalEvent] = []
        for found in self._splitter.feed(data):
            if not isinstance(found, Malformed):
                opened = open_frame(found)
                events += self._take(Message(self.identity, opened.kind, opened.sequence, b"", opened.body))
        return events

    def report(self, moment: Moment) -> Sequence[Made]:
        """A position; beside it an alarm, now and then and whenever it drives too fast."""
        was_fast = self._moment is not None and self._moment.speed_kmh > _SPEED_LIMIT_KMH
        self._moment = moment
        self._reports += 1
        made = [Made(self._take_sequence(), "location", self._location(moment), is_answered=False)]
        if moment.speed_kmh > _SPEED_LIMIT_KMH and not was_fast:
            made.append(self._alarm(moment, "overspeed"))
        elif self._reports % REPORTS_PER_ALARM == 0:
            made.append(self._alarm(moment, _ALARMS[(self._reports // REPORTS_PER_ALARM + self._seed) % len(_ALARMS)]))
        return made

    def send(self, waiting: Sequence[Made]) -> tuple[bytes, int]:
        if not self._is_online:
            return b"", 0
        for made in waiting:
            if made.is_answered:
                self._await(made.sequence)
        types = (_ALARM if made.is_answered else _LOCATION_TYPE for made in waiting)
        return b"".join([frame(SHORT, type, made.body, made.sequence) for type, made in zip(types, waiting, strict=True)]), len(
            waiting
        )

    def heartbeat(self) -> bytes:
        status: dict[str, Any] = {"terminal": self._terminal("none"), "signal": self._signal(), "port": _ENGLISH, "extra": b""}
        if self._has_voltage:
            body = compile(VOLTAGE_STATUS).build({**status, "battery_v": self._battery_v()})
            return frame(SHORT, HEARTBEAT_VOLTAGE, body, self._take_sequence())
        body = compile(HEARTBEAT_STATUS).build({**status, "voltage_level": self._voltage_level()})
        return frame(SHORT, HEARTBEAT, body, self._take_sequence())

    def _take(self, message: Message) -> list[TerminalEvent]:
        if message.kind == LOGIN and message.sequence == self._login & 0xFFFF:
            self._is_online = True
        elif message.kind == _ALARM and message.sequence in self._awaited:
            return [Acked(self._awaited.pop(message.sequence))]
        elif message.kind == COMMAND:
            try:
                command = compile(_COMMAND.layout(message)).parse(message.body).command
            except ConstructError:
                # Cut short by the platform: a device says nothing to it.
                return []
            reply = self._obey(str(command.text))
            if not reply.startswith(_ERROR):
                self.executed.add(COMMAND, command.flag, str(command.text).encode())
            return [] if _word(str(command.text)) in self.silent else [Send(self._answer(command.flag, reply))]
        return []

    def _answer(self, flag: int, reply: str) -> bytes:
        body = compile(_COMMAND_REPLY).build({"flag": flag, "encoding": "ascii", "text": reply})
        return frame(LONG, REPLY & 0xFF, body, self._take_sequence())

    def _obey(self, text: str) -> str:
        """Do what a command says; what the device replies."""
        name, argument = _word(text), text.strip().rstrip("#").upper().partition(",")[2]
        moment = self._moment
        if name == "STATUS":
            power = "Normal" if self._voltage_level() else "Off"
            level = ("Off", "Weak", "Weak", "Good", "Strong")[self._signal()]
            return f"Battery:{self._battery_v():.2f}V,{power}; GPRS:Link Up; GSM Signal Level:{level}; GPS:Successful positioning;"
        if name == "WHERE" and moment is not None:
            at = f"Lat:{moment.latitude:.6f},Lon:{moment.longitude:.6f},Speed:{moment.speed_kmh:.0f}Km/h"
            return f"Current position! {at},DateTime:{moment.time.astimezone(UTC):%y-%m-%d %H:%M:%S}"
        if name == "PARAM":
            return f"IMEI:{self.identity}; TIMER:10,120; SENDS:5; GMT:E,0,0;"
        if name == "RELAY" and argument in ("0", "1"):
            self._is_oil_cut = argument == "1"
            return "Cut off the fuel supply: Success!" if self._is_oil_cut else "Restore fuel supply: Success!"
        return "OK!" if name in ("TIMER", "GMT", "RESET") else f"{_ERROR} Unknown command."

    def _location(self, moment: Moment) -> bytes:
        is_moving = moment.speed_kmh > 0
        fields = {
            **self._position(moment),
            "acc": int(is_moving),
            "upload": "interval" if is_moving else "still_interval",
            "delivery": "live",
            "odometer_km": _START_ODOMETER_KM + moment.odometer_km,
        }
        return compile(_LOCATION_LAYOUT).build(fields)

    def _alarm(self, moment: Moment, alarm: str) -> Made:
        states = {"vibration", "power_off", "battery_low", "emergency"}
        fields = {
            **self._position(moment),
            "lbs_length": 9,
            "terminal": self._terminal(alarm if alarm in states else "none"),
            "voltage_level": self._voltage_level(),
            "signal": self._signal(),
            "alarm": alarm,
            "language": {"language": _ENGLISH},
        }
        return Made(self._take_sequence(), "alarm", compile(_ALARM_LAYOUT).build(fields))

    def _position(self, moment: Moment) -> dict[str, Any]:
        """What positions and alarms have in common. The cell is that of the square of land the device is in."""
        row, column = math.floor(moment.latitude / _CELL_DEGREES), math.floor(moment.longitude / _CELL_DEGREES)
        cell = crc32(f"{row} {column}".encode())
        course = {
            "degrees": round(moment.course_deg) % 360,
            "north": moment.latitude >= 0,
            "west": moment.longitude < 0,
            "fix": True,
        }
        return {
            "time": moment.time.astimezone(UTC),
            "gps": {"satellites": 7 + cell % 6, "size": _GPS_BYTES},
            "latitude": abs(moment.latitude),
            "longitude": abs(moment.longitude),
            "speed": min(255, round(moment.speed_kmh)),
            "course": course,
            "mcc": 460,
            "mnc": 0,
            "lac": 0x2800 | cell >> 26,
            "cell_id": cell & 0xFFFFFF,
            "extra": b"",
        }

    def _terminal(self, state: str) -> dict[str, Any]:
        is_moving = self._moment is not None and self._moment.speed_kmh > 0
        bits = {"armed": not is_moving, "ignition": is_moving, "charging": state != "power_off", "gps_tracking": True}
        return {**bits, "state": state, "oil_cut": self._is_oil_cut}

    def _battery_v(self) -> float:
        """Of the device's own cell: full while the car drives, a little less each hour that it stands."""
        if self._moment is None or self._moment.speed_kmh > 0:
            return 4.15
        hours = self._moment.time.timestamp() / 3600 + self._seed % 24
        return round(3.95 + 0.15 * math.cos(hours * math.pi / 12), 2)

    def _voltage_level(self) -> int:
        return 6 if self._battery_v() >= 4.1 else 5 if self._battery_v() >= 3.9 else 4

    def _signal(self) -> int:
        if self._moment is None:
            return 3
        square = f"{math.floor(self._moment.latitude / _CELL_DEGREES)} {math.floor(self._moment.longitude / _CELL_DEGREES)}"
        return 2 + crc32(square.encode()) % 3

    def _take_sequence(self) -> int:
        self._next += 1
        return self._next - 1

    def _await(self, sequence: int) -> None:
        self._awaited[sequence & 0xFFFF] = sequence
        self._awaited.move_to_end(sequence & 0xFFFF)
        if len(self._awaited) > MAX_AWAITED:
            self._awaited.popitem(last=False)


def simulated_identity(number: int) -> str:
    """An IMEI with a check digit that fits."""
    digits = f"86{number:012d}"
    return next(imei for digit in range(10) if has_check_digit(imei := f"{digits}{digit}"))


def _word(text: str) -> str:
    """What a command begins with."""
    return text.strip().rstrip("#").upper().partition(",")[0]


def _splitter() -> MarkedSplitter:
    return MarkedSplitter(SHAPES, MAX_FRAME_BYTES, check_strict)
