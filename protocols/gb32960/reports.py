"""Making reports of GB/T 32960.3's data units.

A real-time report and its reissue are one report: same kind, same bytes, same digest. That a stored one came as a
reissue is among its values.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from construct import Container

from protocols.body import read, values
from protocols.command import Answer, AnswerStatus
from protocols.compiler import compile
from protocols.fields import FlagWord
from protocols.gb32960 import bodies_2016, bodies_2025
from protocols.gb32960.control import CONTROL
from protocols.gb32960.datum import to_wgs84
from protocols.gb32960.header import ANSWER, CLEAR, RESULT, edition, is_header
from protocols.gb32960.measures import Notes, fields
from protocols.gb32960.messages import MESSAGES, REISSUE, REPORT, layout_of
from protocols.gb32960.options import Options
from protocols.gb32960.parameters import QUERY_PARAMETERS, SET_PARAMETERS
from protocols.gb32960.rows import TIME_BYTES
from protocols.items import Entries
from protocols.message import Message
from protocols.report import Decoded, DecodeError, Report

_TYPES = {
    "2016": {row.name: row for row in bodies_2016.BODIES.values()},
    "2025": {row.name: row for row in bodies_2025.BODIES.values()},
}
_BODIES = {"2016": bodies_2016.BODY_2016, "2025": bodies_2025.BODY_2025}
_LISTS = {
    "drive_motors": "motors",
    "pack_voltages": "pack_voltages",
    "pack_temperatures": "pack_temperatures",
    "fuel_cell_stacks": "fuel_cell_stacks",
}
"""Bodies that are one list, by the name of it: of two in one report the entries are put together."""
_FIRST_TIME = datetime(2016, 1, 1, tzinfo=UTC)
"""No vehicle spoke like this before."""
_FAULTS = ("storage_faults", "motor_faults", "engine_faults", "other_faults")


def decode(message: Message, options: Options) -> Decoded:
    """Reports of a message, and the error that ended them or took some away."""
    try:
        if not is_header(message.head):
            raise DecodeError("header", "", f"no header has {len(message.head)} bytes")
        row, layout = layout_of(message.head, message.body)
        if row is None or layout is None:
            raise DecodeError("unknown-kind", "", f"edition {edition(message.head)} has no message 0x{message.kind:02X}")
        if message.head[21] != CLEAR:
            raise DecodeError("encrypted", "", "the data unit is encrypted")
        parsed = read(layout, message.body)
        if message.kind in (REPORT, REISSUE):
            return _report(message, parsed, options)
    except DecodeError as error:
        return Decoded([], error)
    report = Report(row.name, message.body, values=values(layout, parsed))
    if message.kind & ANSWER:
        report.values["result"] = result = RESULT.parse(message.head[3:4])
        report.answer = _answer(message.kind & ~ANSWER, result)
    if "time" in parsed:
        _take_time(report, parsed.time)
    return Decoded([report], _rest(parsed))


def _report(message: Message, parsed: Container[Any], options: Options) -> Decoded:
    """What a vehicle says of a moment, as far as its bodies can be told apart."""
    year = edition(message.head)
    report = Report(MESSAGES[REPORT].name, message.body, values={"reissued": True} if message.kind == REISSUE else {})
    readable, error = _readable(parsed.bodies, year)
    _take_time(report, parsed.time)
    if error and (report.time is None or report.time < _FIRST_TIME):
        # Who leaves the time out has all bodies six bytes further in front, and a vehicle's begins like one of 2001.
        raise DecodeError("value", "time", f"{message.body[:TIME_BYTES].hex()} is no time of a report")
    telling = _Telling(report, year, options)
    for entry in parsed.bodies[:readable]:
        telling.tell(entry.type, entry.body)
    if error:
        size = sum(len(compile(_BODIES[year]).build(entry)) for entry in parsed.bodies[:readable])
        report.values["unread"] = message.body[TIME_BYTES + size :].hex()
    report.values.update(telling.notes.paths)
    return Decoded([report], error)


def _readable(bodies: Entries, year: str) -> tuple[int, DecodeError | None]:
    """How many bodies could be told apart, and what is wrong with the one behind them.

    That a body in no table brings its length is but a guess, even where the standard says so: only a good end of all
    confirms it.
    """
    if not bodies.trailing:
        return len(bodies), None
    for at, entry in enumerate(bodies):
        if isinstance(entry.type, int):
            return at, DecodeError("unknown-body", f"bodies[{at}]", f"no body 0x{entry.type:02X}, nor a length that fits")
    path = f"bodies[{len(bodies)}]"
    try:
        read(_BODIES[year], bodies.trailing)
    except DecodeError as error:
        return len(bodies), DecodeError(error.cause, f"{path}.{error.path}", error.text)
    return len(bodies), DecodeError("value", path, "the body cannot be read")


class _Telling:
    """Puts bodies into a report."""

    def __init__(self, report: Report, year: str, options: Options) -> None:
        self.report = report
        self.values = report.values
        self.notes = Notes()
        self._types = _TYPES[year]
        self._options = options
        self._seen: set[str] = set()

    def tell(self, name: str | int, body: Any) -> None:
        if isinstance(name, int):
            self.values.setdefault("custom", []).append({"type": f"0x{name:02X}", "raw": body.hex()})
        elif name in _LISTS:
            self._list(name, body)
        elif name == "super_capacitor":
            self._append("super_capacitors", self._types[name].layout, body)
        elif name in self._seen:
            self._append("repeated", self._types[name].layout, body)
            self.values["repeated"][-1]["type"] = name
        elif name == "vehicle":
            self._vehicle(fields(self._types[name].layout, body, "", self.notes), body.gear)
        elif name == "position":
            self._position(fields(self._types[name].layout, body, "", self.notes), body.status)
        elif name == "alarms":
            self._alarms(fields(self._types[name].layout, body, "", self.notes), body)
        else:
            self.values[name] = fields(self._types[name].layout, body, name, self.notes)
        self._seen.add(str(name))

    def _append(self, name: str, layout: Any, body: Any) -> None:
        told = self.values.setdefault(name, [])
        told.append(fields(layout, body, f"{name}[{len(told)}]", self.notes))

    def _list(self, name: str, body: Any) -> None:
        told = fields(self._types[name].layout, body, "", self.notes, len(self.values.get(_LISTS[name], ())))
        self.values.setdefault(_LISTS[name], []).extend(told[_LISTS[name]])

    def _vehicle(self, told: dict[str, Any], gear: FlagWord) -> None:
        self.report.speed_kmh = told.pop("speed_kmh")
        told |= gear.values
        if told.pop("gear_invalid", False):
            self.notes.add("invalid", "gear")
            told["gear"] = None
        if told["vehicle_state"] in ("started", "off"):
            told["ignition"] = told["vehicle_state"] == "started"
        if told["charge_state"] is not None:
            told["charging"] = told["charge_state"] in ("charging_parked", "charging_driving")
        brake = told.get("brake_percent")
        if brake is not None:
            told["braking"] = brake == "braking" or brake > 0
            told["brake_percent"] = None if brake == "braking" else brake
        self.values.update(told)

    def _position(self, told: dict[str, Any], status: FlagWord) -> None:
        latitude, longitude = told["latitude"], told["longitude"]
        if latitude is None or longitude is None or not (latitude or longitude):
            self.values["fix"] = False
            return
        state = status.values
        self.values["fix"] = not state["no_fix"]
        # Zero has no sign, not even at the equator's southern side.
        latitude = -latitude if state["south"] and latitude else latitude
        longitude = -longitude if state["west"] and longitude else longitude
        datum = told.get("datum", self._options.datum)
        if datum != "wgs84":
            self.values["datum"] = datum
        if datum == "gcj02":
            latitude, longitude = to_wgs84(latitude, longitude)
        self.report.latitude, self.report.longitude = latitude, longitude

    def _alarms(self, told: dict[str, Any], body: Any) -> None:
        self.report.alarms += body.alarm_flags.names
        self.values["alarm_level"] = told["alarm_level"]
        self.values["alarm_flags"] = int(body.alarm_flags)
        self.values.update((name, [f"{code:08X}" for code in told[name]]) for name in _FAULTS if told[name])
        if told.get("alarm_levels"):
            names = {at: bit.name for at, bit in body.alarm_flags.flags.bits.items()}
            levels = {names.get(entry["bit"], f"bit_{entry['bit']}"): entry["level"] for entry in told["alarm_levels"]}
            self.values["alarm_levels"] = levels


def _answer(kind: int, result: Any) -> Answer | None:
    """An answer to a command is one to the last of its kind; the flag says how it went."""
    if kind not in (QUERY_PARAMETERS, SET_PARAMETERS, CONTROL):
        return None
    if result == "success":
        return Answer((kind,), AnswerStatus.DONE)
    return Answer((kind,), AnswerStatus.FAILED, None, result if isinstance(result, str) else f"result_{result}")


def _take_time(report: Report, time: datetime | bytes) -> None:
    """The device's own time; as it came, where it names no moment."""
    report.values.pop("time", None)
    if isinstance(time, datetime):
        report.time = time
    else:
        report.values["device_time"] = time.hex()


def _rest(parsed: Container[Any]) -> DecodeError | None:
    """What is wrong with a list of parameters: that it goes on where none can be made out."""
    entries = parsed.get("parameters")
    if entries is None or not entries.is_cut:
        return None
    return DecodeError("truncated", f"parameters[{len(entries)}]", f"no parameter can be read from 0x{entries.trailing[0]:02X} on")
