"""Fences hold what a slow and plain definition says, and refuse what is none."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import acos, asin, atan2, cos, degrees, radians, sin, sqrt

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from store.rules.geometry import EARTH_M, Box, Circle, Corridor, Fence, FenceError, Polygon, distance_m

latitudes, longitudes = st.floats(-89.9, 89.9), st.floats(-180, 180)
places = st.tuples(latitudes, longitudes)
# Exact as floats, so that what is on an edge is so for both.
grid = st.tuples(st.integers(-40, 40).map(lambda n: n / 8), st.integers(-40, 40).map(lambda n: n / 8))


def vector(place: tuple[float, float]) -> tuple[float, float, float]:
    latitude, longitude = map(radians, place)
    return cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)


def apart_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    """By the chord through the earth."""
    return 2 * EARTH_M * asin(min(1, sqrt(sum((a - b) ** 2 for a, b in zip(vector(one), vector(other), strict=True))) / 2))


def slowly_inside(ring: list[tuple[float, float]], place: tuple[float, float]) -> bool:
    """By exact numbers: on an edge, or the edges go around it (winding number)."""
    y, x = map(Fraction, place)
    winding = 0
    for begin, end in pairwise([*ring, ring[0]]):
        (begin_y, begin_x), (end_y, end_x) = (tuple(map(Fraction, point)) for point in (begin, end))
        side = (end_x - begin_x) * (y - begin_y) - (x - begin_x) * (end_y - begin_y)
        if side == 0 and min(begin_x, end_x) <= x <= max(begin_x, end_x) and min(begin_y, end_y) <= y <= max(begin_y, end_y):
            return True
        if begin_y <= y < end_y and side > 0:
            winding += 1
        elif end_y <= y < begin_y and side < 0:
            winding -= 1
    return winding != 0


def slowly_crosses(ring: list[tuple[float, float]]) -> bool:
    """By trying each edge against each: whether points of two of them are the same, but for the corners of neighbours."""
    edges = list(pairwise([*ring, ring[0]]))
    for number, one in enumerate(edges):
        for other_number in range(number + 1, len(edges)):
            other = edges[other_number]
            common = common_points(one, other)
            corners = {corner for corner in one if corner in other}
            are_neighbours = other_number == number + 1 or (number == 0 and other_number == len(edges) - 1)
            if common is None or (common - (corners if are_neighbours else set())):
                return True
    return False


def common_points(one: tuple, other: tuple) -> set | None:
    """The points that two edges share; None of a whole stretch."""
    (ay, ax), (by, bx) = (tuple(map(Fraction, point)) for point in one)
    (cy, cx), (dy, dx) = (tuple(map(Fraction, point)) for point in other)
    across = (bx - ax) * (dy - cy) - (by - ay) * (dx - cx)
    if across:
        along = ((cx - ax) * (dy - cy) - (cy - ay) * (dx - cx)) / across
        other_along = ((cx - ax) * (by - ay) - (cy - ay) * (bx - ax)) / across
        return {(ay + along * (by - ay), ax + along * (bx - ax))} if 0 <= along <= 1 and 0 <= other_along <= 1 else set()
    if (bx - ax) * (cy - ay) - (by - ay) * (cx - ax):
        return set()
    low, high = max(min((ay, ax), (by, bx)), min((cy, cx), (dy, dx))), min(max((ay, ax), (by, bx)), max((cy, cx), (dy, dx)))
    return set() if low > high else {low} if low == high else None


@given(places, places)
def test_a_distance_is_that_through_the_earth_bent_around_it(one: tuple[float, float], other: tuple[float, float]) -> None:
    assert distance_m(one, other) == pytest.approx(apart_m(one, other), rel=1e-6, abs=0.01)


@given(places, st.floats(1, 2_000_000), places, st.floats(0, 10_000))
def test_a_circle_has_what_is_as_near(
    center: tuple[float, float], radius: float, place: tuple[float, float], margin: float
) -> None:
    away = apart_m(center, place)
    assume(abs(away - radius - margin) > 1)
    assert Circle(center, radius).has(*place, margin) is (away < radius + margin)


@given(st.lists(grid, min_size=3, max_size=8, unique=True), st.lists(grid, min_size=1, max_size=30))
def test_a_polygon_has_what_its_edges_go_around(ring: list[tuple[float, float]], asked: list[tuple[float, float]]) -> None:
    assume(not slowly_crosses(ring))
    polygon = Polygon(ring)
    corners_and_middles = [*ring, *(((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(ring))]
    for place in [*asked, *corners_and_middles]:
        assert polygon.has(*place) is slowly_inside(ring, place), place


@given(st.lists(grid, min_size=3, max_size=7))
def test_a_ring_that_crosses_itself_is_refused_and_no_other(ring: list[tuple[float, float]]) -> None:
    closed = ring[:-1] if ring[0] == ring[-1] else ring
    assume(len(closed) >= 3 and all(a != b for a, b in pairwise([*closed, closed[0]])))
    if slowly_crosses(closed):
        with pytest.raises(FenceError, match="crosses itself between edge"):
            Polygon(ring)
    else:
        Polygon(ring)


@settings(deadline=None)
@given(
    st.tuples(st.floats(-60, 60), longitudes),
    st.floats(0.01, 4),
    st.floats(-4, 4),
    st.floats(1, 50_000),
    st.floats(-1.3, 1.3),
    st.floats(-3, 3),
)
def test_a_corridor_has_what_is_near_some_place_of_its_line(
    begin: tuple[float, float], up: float, right: float, half_width: float, off: float, along: float
) -> None:
    end = (begin[0] + up, (begin[1] + right + 180) % 360 - 180)
    place = (begin[0] + up * along / 3 + off, (begin[1] + right * along / 3 - off + 180) % 360 - 180)
    nearest = min(apart_m(place, between) for between in steps(begin, end, 4000))
    length = apart_m(begin, end)
    assume(abs(nearest - half_width) > length / 4000 + 1)
    assert Corridor([begin, end], half_width).has(*place) is (nearest < half_width)


def steps(begin: tuple[float, float], end: tuple[float, float], count: int) -> list[tuple[float, float]]:
    """Places on the shortest way between two."""
    one, other = vector(begin), vector(end)
    angle = acos(max(-1, min(1, sum(a * b for a, b in zip(one, other, strict=True)))))
    found = []
    for number in range(count + 1):
        part = number / count
        first, last = (sin((1 - part) * angle) / sin(angle), sin(part * angle) / sin(angle)) if angle else (1, 0)
        x, y, z = (first * a + last * b for a, b in zip(one, other, strict=True))
        found.append((degrees(atan2(z, sqrt(x * x + y * y))), degrees(atan2(y, x))))
    return found


fences = st.one_of(
    st.builds(Circle, grid, st.floats(10, 200_000)),
    st.builds(lambda ring: Polygon(ring), st.sampled_from([
        [(0, 0), (0, 4), (4, 4), (4, 0)], [(-2, -2), (-2, 3), (3, 3), (0, 0)], [(0, 0), (1, 3), (0, 5), (-4, 2.5)],
    ])),
    st.builds(lambda a, w: Corridor([a, (a[0] + 2, a[1] - 1)], w), grid, st.floats(10, 100_000)),
)  # fmt: skip


@given(
    fences,
    st.tuples(st.floats(-6, 6), st.floats(-6, 6)),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=5, max_size=20),
)
def test_what_is_said_of_a_box_is_so_for_all_of_it(
    fence: Fence, corner: tuple[float, float], parts: list[tuple[float, float]]
) -> None:
    size = 0.02
    box = Box(*corner, corner[0] + size, corner[1] + size)
    settled = fence.settles(box)
    if settled is not None:
        for up, right in [*parts, (0, 0), (1, 1), (0, 1), (1, 0)]:
            assert fence.has(min(box.north, corner[0] + up * size), min(box.east, corner[1] + right * size)) is settled


@given(fences, st.tuples(st.floats(-8, 8), st.floats(-8, 8)))
def test_nothing_is_inside_but_in_the_fence_s_own_box(fence: Fence, place: tuple[float, float]) -> None:
    south, west, north, east = fence.box
    if not (south <= place[0] <= north and west <= place[1] <= east):
        assert not fence.has(*place)


@given(st.tuples(latitudes, longitudes), st.floats(1, 3_000_000), st.floats(0, 1), st.floats(0, 360))
def test_a_circle_is_in_its_box_wherever_it_is(center: tuple[float, float], radius: float, part: float, way: float) -> None:
    """A place of the circle, so far from its middle in a direction."""
    away, latitude, bearing = part * radius / EARTH_M, radians(center[0]), radians(way)
    up = asin(max(-1, min(1, sin(latitude) * cos(away) + cos(latitude) * sin(away) * cos(bearing))))
    right = atan2(sin(bearing) * sin(away) * cos(latitude), cos(away) - sin(latitude) * sin(up))
    place = degrees(up), (center[1] + degrees(right) + 180) % 360 - 180
    south, west, north, east = Circle(center, radius).box
    assert south <= place[0] <= north
    assert west <= place[1] <= east


def test_few_boxes_are_in_doubt() -> None:
    """Only those that a border goes through: else every report in a town would ask every fence of it."""
    fences: list[Fence] = [Circle((31, 121), 5_000), Polygon([(30.9, 120.9), (30.9, 121.1), (31.1, 121.1), (31.1, 120.9)])]
    boxes = [Box(30.5 + y * 0.02, 120.5 + x * 0.02, 30.52 + y * 0.02, 120.52 + x * 0.02) for x in range(50) for y in range(50)]
    for fence in fences:
        settled = [fence.settles(box) for box in boxes]
        assert settled.count(None) < 70
        assert settled.count(True) > 5


def test_a_margin_widens_a_polygon_on_all_sides() -> None:
    square = Polygon([(30.99, 120.99), (30.99, 121.01), (31.01, 121.01), (31.01, 120.99)])
    for place in ((31.0109, 121.0), (30.9891, 121.0), (31.0, 121.0104), (31.0, 120.9896)):
        assert not square.has(*place)
        assert square.has(*place, 110)
        assert not square.has(*place, 30)


def test_a_circle_and_a_corridor_go_over_the_180th_meridian_and_the_poles() -> None:
    assert Circle((0, 179.99), 5_000).has(0, -179.99)
    assert Corridor([(0, 179.5), (0, -179.5)], 1_000).has(0.001, 180)
    assert not Corridor([(0, 179.5), (0, -179.5)], 1_000).has(0.001, 0)
    assert Circle((89.99, 0), 5_000).has(89.99, 180)


@pytest.mark.parametrize(
    ("ring", "words"),
    [
        ([(0, 0), (1, 1), (0, 1), (1, 0)], "polygon crosses itself between edge 1 and edge 3"),
        ([(0, 0), (0, 4), (0, 2), (2, 2)], "polygon crosses itself between edge 1 and edge 2"),
        ([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)], "polygon crosses itself between edge 1 and edge 3"),
        ([(0, 0), (0, 0), (1, 1), (1, 0)], "edge 1 of the polygon goes nowhere"),
        ([(0, 0), (1, 1), (0, 0)], "polygon has 2 corners"),
        ([(0, 170), (1, -170), (0, -170)], "cannot go over the 180th meridian"),
    ],
)
def test_what_is_no_polygon_is_said(ring: list[tuple[float, float]], words: str) -> None:
    with pytest.raises(FenceError, match=words):
        Polygon(ring)


def test_what_is_no_corridor_is_said() -> None:
    with pytest.raises(FenceError, match="points 2 and 3 of the line are the same"):
        Corridor([(0, 0), (1, 1), (1, 1)], 10)
    with pytest.raises(FenceError, match=r"leg 1 of the line is longer than 1,000 km"):
        Corridor([(0, 0), (0, 170)], 10)
