"""A simulated electric car: what its sensors say of a moment.

All of it follows from the car's seed and the moment, so that the same moment is told in the same bytes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b, shake_128
from math import pi, sin
from typing import Any

from protocols.terminal import Moment

CELLS = 96
PROBES = 16
CODE_BYTES = 24

_HIGHEST_SOC = 95.0
_USED_SOC = 78.0
"""Between two charges."""
_PERCENT_PER_KM = 0.22
_LIMIT_A = 600.0
_FAULTS = (
    ("cell_inconsistency", 1),
    ("battery_over_temperature", 2),
    ("insulation_fault", 2),
    ("motor_controller_temperature", 1),
)
_FAULT_EVERY_MINUTES = 90
_SOC_LOW_PERCENT = 20.0


class Car:
    """One car, with a motor and a battery."""

    def __init__(self, identity: str) -> None:
        digest = blake2b(identity.encode(), digest_size=CODE_BYTES // 2).digest()
        self._seed = int.from_bytes(digest[:4], "big")
        self._spread = shake_128(digest).digest(CELLS + PROBES)
        """How far each cell and each probe is from the mean."""
        self.iccid = f"8986{int.from_bytes(digest, 'big') % 10**16:016d}"
        self.pack_code = digest.hex().upper()

    def bodies(self, moment: Moment) -> list[dict[str, Any]]:
        """The information bodies of a report, in the order of their types."""
        speed = min(max(moment.speed_kmh, 0.0), 220.0)
        soc = self._soc(moment.odometer_km)
        volts = CELLS * _cell_volts(soc)
        amperes = self._amperes(moment, speed, volts)
        fault = self._fault(moment.time)
        cells = [round(_cell_volts(soc) - amperes * 2e-4 + self._cell_spread(cell, fault), 3) for cell in range(CELLS)]
        warmth = _warmth(moment.time)
        hot = warmth + 9 + _hot(fault, 22, "battery")
        probes = [round(hot + 3 * spread / 255) for spread in self._spread[CELLS:]]
        total, rounded = round(sum(cells), 1), round(amperes, 1)
        bodies = {
            "vehicle": self._vehicle(moment, speed, total, rounded, soc, fault),
            "drive_motors": {"motors": [self._motor(speed, total, rounded, warmth, fault)]},
            "position": _position(moment),
            "extremes": _extremes(cells, probes),
            "alarms": _alarms(fault, soc),
            "pack_voltages": {"pack_voltages": [_pack(total, rounded, cells)]},
            "pack_temperatures": {"pack_temperatures": [{"pack": 1, "temperatures_c": probes}]},
        }
        return [{"type": name, "body": _counted(body)} for name, body in bodies.items()]

    def _vehicle(
        self, moment: Moment, speed: float, volts: float, amperes: float, soc: float, fault: tuple[str, int] | None
    ) -> dict[str, Any]:
        return {
            "vehicle_state": "started",
            "charge_state": "not_charging",
            "run_mode": "electric",
            "speed_kmh": speed,
            "odometer_km": round(self._seed % 80_000 + moment.odometer_km, 1),
            "total_voltage_v": volts,
            "total_current_a": amperes,
            "soc_percent": round(soc),
            "dcdc_state": "working",
            "gear": {"gear": "drive" if speed else "park", "driving_force": amperes > 1, "braking_force": amperes < -1},
            "insulation_kohm": 95 if fault and fault[0] == "insulation_fault" else 2400 + self._seed % 600,
            "accelerator_percent": round(max(0.0, min(100.0, amperes / 4))) if speed else 0,
            "brake_percent": round(min(100.0, -amperes / 3)) if speed and amperes < -1 else 0,
        }

    def _motor(self, speed: float, volts: float, amperes: float, warmth: float, fault: tuple[str, int] | None) -> dict[str, Any]:
        turns = round(speed * 95)
        newton_metres = round(volts * amperes * 0.92 / 1000 * 9550 / turns, 1) if turns else 0
        return {
            "motor": 1,
            "state": "ready" if not turns else "consuming" if amperes >= 0 else "generating",
            "controller_temperature_c": round(warmth + 14 + speed * 0.12 + _hot(fault, 45, "motor")),
            "speed_rpm": turns,
            "torque_nm": max(-900.0, min(900.0, newton_metres)),
            "temperature_c": round(warmth + 18 + speed * 0.25),
            "input_voltage_v": round(volts - 0.5, 1),
            "bus_current_a": amperes,
        }

    def _soc(self, odometer_km: float) -> float:
        """Falls with every kilometre, and begins anew where it was charged."""
        return _HIGHEST_SOC - (self._seed % 40 + odometer_km * _PERCENT_PER_KM) % _USED_SOC

    def _amperes(self, moment: Moment, speed: float, volts: float) -> float:
        """What the speed takes, and what pushing and braking takes and gives back: of discharge where positive."""
        rolling_kw = 0.4 + 0.05 * speed + 1.4e-5 * speed**3
        pushing_kw = 0.35 * speed * (self._chance("push", int(moment.time.timestamp()) // 10) - 0.45)
        return max(-_LIMIT_A, min(_LIMIT_A, (rolling_kw + pushing_kw) * 1000 / volts))

    def _cell_spread(self, cell: int, fault: tuple[str, int] | None) -> float:
        weak = -0.06 if fault and fault[0] == "cell_inconsistency" and cell == self._seed % CELLS else 0.0
        return 0.012 * (self._spread[cell] / 255 - 0.5) + weak

    def _fault(self, time: datetime) -> tuple[str, int] | None:
        """A fault for a minute, now and then."""
        minute = int(time.timestamp()) // 60
        if self._chance("fault", minute) * _FAULT_EVERY_MINUTES >= 1:
            return None
        return _FAULTS[minute % len(_FAULTS)]

    def _chance(self, word: str, number: int) -> float:
        """A number from 0 to 1 that is always the same for this car."""
        return int.from_bytes(blake2b(f"{self._seed} {word} {number}".encode(), digest_size=4).digest(), "big") / 0xFFFFFFFF


def _cell_volts(soc: float) -> float:
    return 3.35 + 0.0075 * soc


def _warmth(time: datetime) -> float:
    """Of the air, coldest at five in the morning in Beijing."""
    local = time + timedelta(hours=8)
    return 16 - 7 * sin((local.hour + local.minute / 60 + 1) / 24 * 2 * pi)


def _hot(fault: tuple[str, int] | None, degrees: float, part: str) -> float:
    return degrees if fault and fault[0].startswith(part) else 0.0


def _position(moment: Moment) -> dict[str, Any]:
    signs = {"south": moment.latitude < 0, "west": moment.longitude < 0}
    return {"status": signs, "longitude": round(abs(moment.longitude), 6), "latitude": round(abs(moment.latitude), 6)}


def _extremes(cells: list[float], probes: list[int]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for quantity, unit, part, measured in (("voltage", "v", "cell", cells), ("temperature", "c", "probe", probes)):
        for word, value in (("max", max(measured)), ("min", min(measured))):
            told[f"{quantity}_{word}_pack"] = 1
            told[f"{quantity}_{word}_{part}"] = measured.index(value) + 1  # type: ignore[arg-type]
            told[f"{quantity}_{word}_{unit}"] = value
    return told


def _alarms(fault: tuple[str, int] | None, soc: float) -> dict[str, Any]:
    active = ([fault] if fault else []) + ([("soc_low", 1)] if soc < _SOC_LOW_PERCENT else [])
    lists: dict[str, list[int]] = {"storage_faults": [], "motor_faults": [], "engine_faults": [], "other_faults": []}
    return {"alarm_level": max((level for _, level in active), default=0), "alarm_flags": [name for name, _ in active], **lists}


def _pack(volts: float, amperes: float, cells: list[float]) -> dict[str, Any]:
    return {
        "pack": 1,
        "voltage_v": volts,
        "current_a": amperes,
        "cell_total": CELLS,
        "first_cell": 1,
        "cell_voltages_v": cells,
    }


def _counted(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with a place for the count of each list, which is counted when they are written."""
    counts = {f"{name}_count": None for name, value in fields.items() if isinstance(value, list) and name != "alarm_flags"}
    entries = {
        name: [_counted(entry) if isinstance(entry, dict) else entry for entry in value]
        for name, value in fields.items()
        if isinstance(value, list)
    }
    return {**fields, **entries, **counts}
