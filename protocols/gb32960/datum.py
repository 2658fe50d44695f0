"""GCJ-02, the shifted coordinates of Chinese maps (火星坐标系), turned into WGS-84.

Only the way there is known as a formula. The way back is found by walking it again from what it missed by, which comes
within a centimetre in a few steps.
"""

from __future__ import annotations

from math import cos, pi, sin, sqrt

_AXIS_M = 6378245.0
_ECCENTRICITY_SQUARED = 0.00669342162296594323
_STEPS = 4


def to_wgs84(latitude: float, longitude: float) -> tuple[float, float]:
    """The WGS-84 coordinates, to a tenth of a metre, of a point in GCJ-02; outside China both are the same."""
    if not (0.8293 <= latitude <= 55.8271 and 72.004 <= longitude <= 137.8347):
        return latitude, longitude
    north, east = latitude, longitude
    for _ in range(_STEPS):
        there = to_gcj02(north, east)
        north, east = north + latitude - there[0], east + longitude - there[1]
    return round(north, 6), round(east, 6)


def to_gcj02(latitude: float, longitude: float) -> tuple[float, float]:
    """The GCJ-02 coordinates of a point in China."""
    x, y = longitude - 105.0, latitude - 35.0
    waves = (20 * sin(6 * x * pi) + 20 * sin(2 * x * pi)) * 2 / 3
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x)) + waves
    north += (20 * sin(y * pi) + 40 * sin(y / 3 * pi)) * 2 / 3
    north += (160 * sin(y / 12 * pi) + 320 * sin(y * pi / 30)) * 2 / 3
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x)) + waves
    east += (20 * sin(x * pi) + 40 * sin(x / 3 * pi)) * 2 / 3
    east += (150 * sin(x / 12 * pi) + 300 * sin(x / 30 * pi)) * 2 / 3
    radians = latitude / 180 * pi
    magic = 1 - _ECCENTRICITY_SQUARED * sin(radians) ** 2
    north = north * 180 / (_AXIS_M * (1 - _ECCENTRICITY_SQUARED) / (magic * sqrt(magic)) * pi)
    east = east * 180 / (_AXIS_M / sqrt(magic) * cos(radians) * pi)
    return latitude + north, longitude + east
