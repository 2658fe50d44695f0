"""A simulated FMB device: its sensors, and what it says to commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from protocols.compiler import compile
from protocols.teltonika.records import CODEC_8, CODEC_8_EXTENDED, CODEC_16, GROUPS, RECORDS
from protocols.terminal import Moment

OVERSPEED_KMH = 100
UNKNOWN = "Unknown command"
"""How the answer to a command begins that is none of the device's."""
_EVENT_CHANCE = 0.02
_FIRMWARE = "03.28.07.Rev.00"
_WORD_END = re.compile("[ :]")
_VALUE_BYTES = {group: size for group, size in GROUPS.items() if size}
_PERIODICAL, _EVENTUAL = "periodical", "eventual"
Properties = dict[str, list[tuple[int, Any]]]


class SimulatedDevice:
    """What a device would measure at a moment, the same each time; and settings that commands change.

    Devices with an even serial number send codec 8, others codec 8 Extended, and every tenth codec 16.
    """

    def __init__(self, imei: str) -> None:
        self.imei = imei
        serial = int(imei[8:14] or "0")
        self.codec_id = CODEC_16 if serial % 10 == 9 else CODEC_8_EXTENDED if serial % 2 else CODEC_8
        self.outputs = [False, False]
        self._parameters: dict[str, str] = {}
        self._odometer_m = 1000 * Random(imei).randrange(5_000, 180_000)
        self._last: Moment | None = None

    def record(self, moment: Moment) -> bytes:
        """A record of this moment; now and then one that an event has made."""
        chance = Random(f"{self.imei} {moment.time.isoformat()}")
        properties = self._properties(moment, chance)
        event_id = self._event(moment, chance, properties)
        self._last = moment
        record: dict[str, Any] = {
            "time": moment.time,
            "priority": "high" if event_id else "low",
            "longitude": moment.longitude,
            "latitude": moment.latitude,
            "altitude": round(moment.altitude_m),
            "course": round(moment.course_deg) % 360,
            "satellites": chance.randrange(7, 16),
            "speed": round(moment.speed_kmh),
            "event_id": event_id,
            "total": None,
            **properties,
        }
        if self.codec_id == CODEC_16:
            record["generation_type"] = _EVENTUAL if event_id else _PERIODICAL
        return compile(RECORDS[self.codec_id]).build(record)

    def answer(self, command: str) -> str:
        """What the device says to a command; of those it does not know, that."""
        word, *rest = _WORD_END.split(command.strip(), maxsplit=1)
        answer = _ANSWERS.get(word.lower())
        return answer(self, "".join(rest)) if answer else f"{UNKNOWN}: {word}"

    def _properties(self, moment: Moment, chance: Random) -> Properties:
        is_moving = moment.speed_kmh > 0
        battery_v = 4.0 + chance.random() / 10
        found: Properties = {
            "io_1": [
                (239, int(is_moving)),
                (240, int(is_moving)),
                (80, 1 if is_moving else 0),
                (21, chance.randrange(3, 6)),
                (200, 0),
                (69, 1),
                (113, round(100 * (battery_v - 3.2))),
                *((179 + number, int(is_on)) for number, is_on in enumerate(self.outputs)),
            ],
            "io_2": [
                (181, chance.randrange(11, 19)),
                (182, chance.randrange(6, 11)),
                (66, round(1000 * ((13.9 if is_moving else 12.5) + chance.uniform(-0.2, 0.2)))),
                (67, round(1000 * battery_v)),
                (24, round(moment.speed_kmh)),
            ],
            "io_4": [(241, 46000), (199, round(1000 * moment.odometer_km)), (16, self._total_m(moment))],
            "io_8": [],
        }
        if self.codec_id != CODEC_8:
            found["io_4"].append((636, 180_000_000 + chance.randrange(4096)))
        if self.codec_id == CODEC_8_EXTENDED:
            found["io_x"] = [(256, f"LSVSIM{self.imei[-11:]}".encode())]
        return found

    def _event(self, moment: Moment, chance: Random, properties: Properties) -> int:
        """The property that made the record, put among the others if it is one that only events have; 0 for none."""
        was_moving, is_moving = self._last is not None and self._last.speed_kmh > 0, moment.speed_kmh > 0
        if self._last is not None and was_moving != is_moving:
            return 239
        if moment.speed_kmh > OVERSPEED_KMH:
            properties["io_1"].append((255, min(round(moment.speed_kmh), 255)))
            return 255
        if is_moving and chance.random() < _EVENT_CHANCE:
            properties["io_1"] += [(253, chance.randrange(1, 4)), (254, chance.randrange(25, 60))]
            return 253
        return 0

    def _total_m(self, moment: Moment | None) -> int:
        return (self._odometer_m + round(1000 * moment.odometer_km if moment else 0)) & 0xFFFFFFFF

    def _info(self, _: str) -> str:
        time = self._last.time.astimezone(UTC) if self._last else datetime(2025, 1, 1, tzinfo=UTC)
        return f"RTC:{time:%Y/%m/%d %H:%M} RST:1 ERR:0 SR:0 CF:0 FG:0 FL:0 SMS:0 NOGPS:0:0 GPS:2 SAT:9 RS:4 SF:1 MD:0"

    def _version(self, _: str) -> str:
        return f"Ver:{_FIRMWARE} GPS:AXN_5.1.9 Hw:FMB120 Mod:14 IMEI:{self.imei} Init:2025-1-1 0:0 Uptime:3600 BL:1.10"

    def _status(self, _: str) -> str:
        return "Data Link: 1 GPRS: 1 Phone: 0 SIM: 0 OP: 46000 Signal: 4 NewSMS: 0 Roaming: 0 LAC: 1 Cell ID: 2"

    def _card(self, _: str) -> str:
        return f"IMEI:{self.imei} CCID:8986{self.imei}"

    def _parameter(self, id: str) -> str:
        return f"Param ID:{id} Val:{self._parameters.get(id, '0')}"

    def _position(self, _: str) -> str:
        if self._last is None:
            return "GPS:0 Sat:0"
        at = self._last
        return (
            f"GPS:1 Sat:9 Lat:{at.latitude:.6f} Long:{at.longitude:.6f} Alt:{at.altitude_m:.0f} Speed:{at.speed_kmh:.0f} "
            f"Dir:{at.course_deg:.0f} Date: {at.time:%Y/%m/%d} Time: {at.time:%H:%M:%S}"
        )

    def _inputs(self, _: str) -> str:
        is_moving = self._last is not None and self._last.speed_kmh > 0
        return "DI1:{:d} DI2:0 DI3:0 AIN1:0 AIN2:0 DO1:{:d} DO2:{:d}".format(is_moving, *self.outputs)

    def _read_io(self, id: str) -> str:
        if self._last is None or not id.isdecimal():
            return f"IO ID:{id} Error"
        record = compile(RECORDS[self.codec_id]).parse(self.record(self._last))
        found = [value for group in _VALUE_BYTES for told, value in record[group] if told == int(id)]
        return f"IO ID:{id} Value:{found[0]}" if found else f"IO ID:{id} Error"

    def _set_parameter(self, text: str) -> str:
        for one in text.split(";"):
            id, colon, value = one.partition(":")
            if not colon or not id.isdecimal():
                return f"Param error: {one}"
            self._parameters[id] = value
        return f"New value {text}"

    def _set_outputs(self, text: str) -> str:
        """A digit per output, 1 for on; any other leaves it as it is."""
        for number, digit in enumerate(text[: len(self.outputs)]):
            if digit in "01":
                self.outputs[number] = digit == "1"
        return "DOUTS are set to:{:d}{:d} TMOs are: 0 0".format(*self.outputs)

    def _set_odometer(self, text: str) -> str:
        if not text.isdecimal():
            return "Odometer error"
        driven_m = round(1000 * self._last.odometer_km) if self._last else 0
        self._odometer_m = int(text) - driven_m
        return f"Total odometer set to {int(text)}"


_ANSWERS: dict[str, Callable[[SimulatedDevice, str], str]] = {
    "getinfo": SimulatedDevice._info,
    "getver": SimulatedDevice._version,
    "getstatus": SimulatedDevice._status,
    "getgps": SimulatedDevice._position,
    "getio": SimulatedDevice._inputs,
    "readio": SimulatedDevice._read_io,
    "getimeiccid": SimulatedDevice._card,
    "getparam": SimulatedDevice._parameter,
    "setparam": SimulatedDevice._set_parameter,
    "setdigout": SimulatedDevice._set_outputs,
    "odoset": SimulatedDevice._set_odometer,
    "deleterecords": lambda device, _: "All records are deleted",
    "cpureset": lambda device, _: "CPU reset",
}
