"""Where a simulated vehicle drives."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime

from protocols import Moment

METRES_PER_DEGREE = 111_320.0
CITIES = ((31.2304, 121.4737), (39.9042, 116.4074), (23.1291, 113.2644), (30.5728, 104.0668), (34.3416, 108.9398))


@dataclass
class Track:
    """A drive that starts in a city, wanders, and never stands still for a whole second.

    Units: degrees WGS-84, metres, km/h, degrees clockwise from north.
    """

    latitude: float
    longitude: float
    speed_kmh: float
    course_deg: float
    _random: random.Random
    altitude_m: float = 40.0
    odometer_km: float = 0.0

    @classmethod
    def begin(cls, seed: str) -> Track:
        """The same seed gives the same drive."""
        chance = random.Random(seed)
        latitude, longitude = chance.choice(CITIES)
        return cls(
            latitude + chance.uniform(-0.1, 0.1), longitude + chance.uniform(-0.1, 0.1), 40.0, chance.uniform(0, 360), chance
        )

    def drive(self, seconds: float) -> None:
        """Go on for a while, turning and changing speed a little."""
        self.speed_kmh = min(max(self.speed_kmh + self._random.uniform(-8, 8), 5.0), 110.0)
        self.course_deg = (self.course_deg + self._random.uniform(-25, 25)) % 360
        self.altitude_m = min(max(self.altitude_m + self._random.uniform(-2, 2), 5.0), 400.0)
        metres = self.speed_kmh / 3.6 * seconds
        self.odometer_km += metres / 1000
        course = math.radians(self.course_deg)
        self.latitude += metres * math.cos(course) / METRES_PER_DEGREE
        self.longitude += metres * math.sin(course) / (METRES_PER_DEGREE * math.cos(math.radians(self.latitude)))

    def moment(self, time: datetime) -> Moment:
        """Where it is, at ``time``."""
        return Moment(time, self.latitude, self.longitude, self.altitude_m, self.speed_kmh, self.course_deg, self.odometer_km)
