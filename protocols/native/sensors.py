"""What a simulated board measures, and the pictures that it takes: the same for the same board and moment."""

from __future__ import annotations

import math
import random
from typing import Any

from protocols.compiler import compile
from protocols.native.channels import NUMBERS, POSITION
from protocols.native.messages import DESCRIBE_BODY, MOMENT
from protocols.picture import jpeg
from protocols.terminal import Moment

OWN_CHANNEL = 128
DESCRIPTION = compile(DESCRIBE_BODY).build({"channels": [{"channel": OWN_CHANNEL, "name": "lid_angle_deg", "unit": "°"}]})
_DAY_SECONDS = 86_400
_BATTERY_HOURS = 40.0
"""From full to empty; then it is charged at once."""
_LOW_PERCENT = 10.0
_BLOCKS_WIDE, _BLOCKS_HIGH = 40, 30


class Sensors:
    """The sensors of one board."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._phase = random.Random(identity).random()
        self.is_relay_on = False

    def measure(self, moment: Moment) -> dict[str, Any]:
        """Values by the names of their channels, except where the board is."""
        seconds = moment.time.timestamp()
        day = math.sin(2 * math.pi * (seconds / _DAY_SECONDS + self._phase))
        charge = 100 * (1 - (seconds / 3600 / _BATTERY_HOURS + self._phase) % 1)
        is_open = math.sin(seconds / 97 + 7 * self._phase) > 0.9
        return {
            "temperature_c": round(21.5 + 6 * day, 1),
            "humidity_percent": round(55 - 20 * day, 1),
            "battery_v": round(3.3 + 0.009 * charge, 2),
            "battery_percent": round(charge, 1),
            "uptime_s": int(seconds) % (7 * _DAY_SECONDS),
            "odometer_km": round(moment.odometer_km, 3),
            "door_open": is_open,
            "relay_on": self.is_relay_on,
            "battery_low": charge < _LOW_PERCENT,
        }

    def moment(self, moment: Moment) -> bytes:
        """What it reports of a moment: the bytes of one entry of READINGS."""
        point = {
            "latitude": moment.latitude,
            "longitude": moment.longitude,
            "altitude": moment.altitude_m,
            "speed": moment.speed_kmh,
            "course": moment.course_deg % 360,
        }
        readings = [{"channel": POSITION, "type": "point", "value": point}]
        for name, value in self.measure(moment).items():
            type = ("true" if value else "false") if isinstance(value, bool) else "i32" if isinstance(value, int) else "f32"
            readings.append({"channel": NUMBERS[name], "type": type, "value": None if isinstance(value, bool) else value})
        angle = 90 if self.measure(moment)["door_open"] else 0
        readings.append({"channel": OWN_CHANNEL, "type": "i16", "value": angle})
        return compile(MOMENT).build({"stamp": moment.time, "readings": readings})

    def picture(self, moment: Moment) -> bytes:
        """A JPEG of a sky above a ground, darker at night, with some noise as cameras have."""
        noise = random.Random(f"{self._identity} {moment.time.timestamp()}")
        light = 0.6 + 0.4 * math.sin(2 * math.pi * moment.time.timestamp() / _DAY_SECONDS)
        rows = []
        for row in range(_BLOCKS_HIGH):
            base = 220 - 2 * row if row < _BLOCKS_HIGH * 0.6 else 90 + row
            rows.append([min(max(int(base * light) + noise.randrange(-8, 9), 0), 255) for _ in range(_BLOCKS_WIDE)])
        return jpeg(rows)
