"""Fences on the ground: whether a place is in one, and of which boxes that can be said as a whole.

The earth is a sphere. Circles and corridors go by distances on it, the legs of a corridor by great circles. The edges of a
polygon are straight in latitude and longitude, as a map draws them; a place on an edge is inside.
Units: degrees WGS-84, metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, pairwise
from math import asin, atan2, cos, degrees, hypot, pi, radians, sin, sqrt
from typing import NamedTuple, Protocol

EARTH_M = 6_371_008.8
METRES_A_DEGREE = radians(1) * EARTH_M
_ROUNDING_M = 0.1
LONGEST_LEG_M = 1_000_000.0
"""Of a corridor: what is longer is no road, and of two places at opposite ends of the earth no way is the shortest."""

Point = tuple[float, float]
"""Latitude and longitude."""
_Vector = tuple[float, float, float]


class FenceError(ValueError):
    """No fence, and why."""


class Box(NamedTuple):
    """A stretch of latitudes and of longitudes, its borders included."""

    south: float
    west: float
    north: float
    east: float


class Fence(Protocol):
    @property
    def box(self) -> Box:
        """Outside of which nothing is inside."""

    def has(self, latitude: float, longitude: float, margin_m: float = 0.0) -> bool:
        """Whether a place is inside, or outside by no more than a margin."""

    def settles(self, box: Box) -> bool | None:
        """Whether all places of a small box are inside, or none is; None if it may depend."""


class Circle:
    def __init__(self, center: Point, radius_m: float) -> None:
        self._center, self._radius = center, radius_m
        self.box = _box_around(center, radius_m)

    def has(self, latitude: float, longitude: float, margin_m: float = 0.0) -> bool:
        return distance_m(self._center, (latitude, longitude)) <= self._radius + margin_m

    def settles(self, box: Box) -> bool | None:
        middle, reach = _middle(box)
        return _settled(distance_m(self._center, middle) - self._radius, reach)


class Corridor:
    """All that is no farther from a line than half its width."""

    def __init__(self, line: Sequence[Point], half_width_m: float) -> None:
        """Raises: FenceError"""
        for number, (begin, end) in enumerate(pairwise(line), 1):
            if begin == end:
                raise FenceError(f"points {number} and {number + 1} of the line are the same")
            if distance_m(begin, end) > LONGEST_LEG_M:
                raise FenceError(f"leg {number} of the line is longer than {LONGEST_LEG_M / 1000:,.0f} km: put points in between")
        self._half_width = half_width_m
        self._legs = [_Leg(begin, end) for begin, end in pairwise(line)]
        boxes = [_box_around(leg.center, leg.half_m + half_width_m) for leg in self._legs]
        souths, wests, norths, easts = zip(*boxes, strict=True)
        self.box = Box(min(souths), min(wests), max(norths), max(easts))

    def has(self, latitude: float, longitude: float, margin_m: float = 0.0) -> bool:
        place, most = _vector((latitude, longitude)), self._half_width + margin_m
        return any(leg.is_within(place, most) for leg in self._legs)

    def settles(self, box: Box) -> bool | None:
        middle, reach = _middle(box)
        place = _vector(middle)
        return _settled(min(leg.distance_m(place) for leg in self._legs) - self._half_width, reach)


class _Leg:
    """The shortest way between two places."""

    def __init__(self, begin: Point, end: Point) -> None:
        self._begin, self._end = _vector(begin), _vector(end)
        normal = _cross(self._begin, self._end)
        length = sqrt(_dot(normal, normal))
        self._normal = (normal[0] / length, normal[1] / length, normal[2] / length)
        self.half_m = distance_m(begin, end) / 2
        middle = (self._begin[0] + self._end[0], self._begin[1] + self._end[1], self._begin[2] + self._end[2])
        length = sqrt(_dot(middle, middle))
        self._middle = (middle[0] / length, middle[1] / length, middle[2] / length)
        self.center = degrees(asin(self._middle[2])), degrees(atan2(self._middle[1], self._middle[0]))
        self._behind_begin, self._before_end = _cross(self._normal, self._begin), _cross(self._end, self._normal)

    def is_within(self, place: _Vector, most_m: float) -> bool:
        # What is farther from the middle than half the leg and as much again as is asked for is told at once.
        reach = (self.half_m + most_m + _ROUNDING_M) / EARTH_M
        return _dot(self._middle, place) >= cos(min(pi, reach)) and self.distance_m(place) <= most_m

    def distance_m(self, place: _Vector) -> float:
        if _dot(self._behind_begin, place) >= 0 and _dot(self._before_end, place) >= 0:
            return EARTH_M * asin(min(1.0, abs(_dot(self._normal, place))))
        return min(_apart_m(place, self._begin), _apart_m(place, self._end))


class Polygon:
    def __init__(self, points: Sequence[Point]) -> None:
        """Raises: FenceError"""
        ring = list(points[:-1] if len(points) > 1 and points[0] == points[-1] else points)
        _check_ring(ring)
        self._edges = [(*begin, *end) for begin, end in pairwise([*ring, ring[0]])]
        self.box = _box_of(ring)

    def has(self, latitude: float, longitude: float, margin_m: float = 0.0) -> bool:
        return self._is_inside(latitude, longitude) or (margin_m > 0 and self._is_near(latitude, longitude, margin_m))

    def settles(self, box: Box) -> bool | None:
        edges = (_box_of([(edge[0], edge[1]), (edge[2], edge[3])]) for edge in self._edges)
        if any(_do_meet(edge, box) for edge in edges):
            return None
        return self._is_inside(box.south, box.west)

    def _is_inside(self, latitude: float, longitude: float) -> bool:
        """Whether a way to the east crosses the edges an odd number of times."""
        south, west, north, east = self.box
        if not (south <= latitude <= north and west <= longitude <= east):
            return False
        is_inside = False
        for begin_latitude, begin_longitude, end_latitude, end_longitude in self._edges:
            if (begin_latitude > latitude) != (end_latitude > latitude):
                height = end_latitude - begin_latitude
                side = (end_longitude - begin_longitude) * (latitude - begin_latitude) - (longitude - begin_longitude) * height
                if side == 0:
                    return True
                if (side > 0) == (height > 0):
                    is_inside = not is_inside
            elif begin_latitude == latitude and (
                begin_longitude == longitude
                or (end_latitude == latitude and (begin_longitude < longitude) != (end_longitude < longitude))
            ):
                return True
        return is_inside

    def _is_near(self, latitude: float, longitude: float, margin_m: float) -> bool:
        """Whether an edge is within so many metres, on a map that is flat around the place."""
        wide = METRES_A_DEGREE * cos(radians(latitude))
        for begin_latitude, begin_longitude, end_latitude, end_longitude in self._edges:
            x, y = (begin_longitude - longitude) * wide, (begin_latitude - latitude) * METRES_A_DEGREE
            dx, dy = (end_longitude - begin_longitude) * wide, (end_latitude - begin_latitude) * METRES_A_DEGREE
            length = dx * dx + dy * dy
            along = min(1.0, max(0.0, -(x * dx + y * dy) / length)) if length else 0.0
            if hypot(x + along * dx, y + along * dy) <= margin_m:
                return True
        return False


def distance_m(one: Point, other: Point) -> float:
    """Along the great circle.

    Source: haversine formula
    """
    latitude, longitude = radians(one[0]), radians(one[1])
    other_latitude, other_longitude = radians(other[0]), radians(other[1])
    high = sin((other_latitude - latitude) / 2)
    wide = sin((other_longitude - longitude) / 2)
    return 2 * EARTH_M * asin(min(1.0, sqrt(high * high + cos(latitude) * cos(other_latitude) * wide * wide)))


def _settled(beyond_m: float, reach_m: float) -> bool | None:
    """Of a box whose middle is so far beyond a border: no distance changes faster than the place does."""
    return None if abs(beyond_m) <= reach_m else beyond_m < 0


def _middle(box: Box) -> tuple[Point, float]:
    """Of a small box its middle, and how far any place of it is from there at most."""
    middle = ((box.south + box.north) / 2, (box.west + box.east) / 2)
    corners = ((latitude, longitude) for latitude in (box.south, box.north) for longitude in (box.west, box.east))
    return middle, max(distance_m(middle, corner) for corner in corners) + 1.0


def _vector(point: Point) -> _Vector:
    latitude, longitude = radians(point[0]), radians(point[1])
    return cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)


def _dot(one: _Vector, other: _Vector) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def _cross(one: _Vector, other: _Vector) -> _Vector:
    return (
        one[1] * other[2] - one[2] * other[1],
        one[2] * other[0] - one[0] * other[2],
        one[0] * other[1] - one[1] * other[0],
    )


def _apart_m(one: _Vector, other: _Vector) -> float:
    chord = sqrt((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2)
    return 2 * EARTH_M * asin(min(1.0, chord / 2))


def _box_around(center: Point, radius_m: float) -> Box:
    """A box that a circle is in; one with a pole or the 180th meridian in it has all longitudes."""
    reach = (radius_m + _ROUNDING_M) / EARTH_M
    south, north = center[0] - degrees(reach), center[0] + degrees(reach)
    if south > -90 and north < 90:
        wide = degrees(asin(min(1.0, sin(reach) / cos(radians(center[0])))))
        if center[1] - wide > -180 and center[1] + wide < 180:
            return Box(south, center[1] - wide, north, center[1] + wide)
    return Box(south, -180.0, north, 180.0)


def _box_of(points: Sequence[Point]) -> Box:
    latitudes, longitudes = [point[0] for point in points], [point[1] for point in points]
    return Box(min(latitudes), min(longitudes), max(latitudes), max(longitudes))


def _do_meet(one: Box, other: Box) -> bool:
    return one.south <= other.north and other.south <= one.north and one.west <= other.east and other.west <= one.east


def _check_ring(ring: Sequence[Point]) -> None:
    """Raises: FenceError"""
    if len(ring) < 3:
        raise FenceError(f"polygon has {len(ring)} corners: give 3 or more")
    edges = list(pairwise([*ring, ring[0]]))
    for number, (begin, end) in enumerate(edges, 1):
        if begin == end:
            raise FenceError(f"edge {number} of the polygon goes nowhere: two corners in a row are the same")
        if abs(begin[1] - end[1]) > 180:
            raise FenceError(
                f"edge {number} of the polygon spans {abs(begin[1] - end[1]):g}° of longitude: a polygon cannot go over the "
                "180th meridian; make one on each side of it and join them with any"
            )
    for (number, one), (other_number, other) in combinations(enumerate(edges, 1), 2):
        are_neighbours = other_number - number == 1 or (number == 1 and other_number == len(edges))
        if _do_meet(_box_of(one), _box_of(other)) and _do_cross(one, other, are_neighbours):
            raise FenceError(f"polygon crosses itself between edge {number} and edge {other_number}")


def _do_cross(one: tuple[Point, Point], other: tuple[Point, Point], are_neighbours: bool) -> bool:
    """Whether edges have a point in common; of neighbours, another one than their corner. Exactly: no rounding decides it."""
    if are_neighbours:
        # They overlap if they lead back along each other.
        (before, corner), (after_corner, after) = (one, other) if one[1] == other[0] else (other, one)
        return _side(before, corner, after) == 0 and _turn(before, corner, after_corner, after) < 0
    sides = [_side(*one, point) for point in other] + [_side(*other, point) for point in one]
    if all(side == 0 for side in sides):
        return True  # on one line, and their boxes meet
    return sides[0] * sides[1] <= 0 and sides[2] * sides[3] <= 0


def _side(begin: Point, end: Point, point: Point) -> int:
    """On which side of a line a point is; 0 if it is on it."""
    (y, x), (end_y, end_x), (at_y, at_x) = (tuple(map(Fraction, one)) for one in (begin, end, point))
    cross = (end_x - x) * (at_y - y) - (end_y - y) * (at_x - x)
    return (cross > 0) - (cross < 0)


def _turn(begin: Point, end: Point, next_begin: Point, next_end: Point) -> Fraction:
    """Positive if the second way goes on as the first, negative if it goes back."""
    (y, x), (end_y, end_x), (next_y, next_x), (last_y, last_x) = (
        tuple(map(Fraction, one)) for one in (begin, end, next_begin, next_end)
    )
    return (end_x - x) * (last_x - next_x) + (end_y - y) * (last_y - next_y)
