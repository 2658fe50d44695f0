"""Values over time: how steeply they rise, and a plot of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10
from typing import NamedTuple

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 200, 70, 130, 30, 30
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
TICKS = 4
ROUND = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)


class Panel(NamedTuple):
    """Lines that share their axes."""

    title: str
    lines: Mapping[str, Points]


def slope(points: Points) -> float:
    """Of the straight line that fits best, per unit of the first coordinate; 0 for fewer than two points."""
    count = len(points)
    middle_x, middle_y = (sum(point[axis] for point in points) / max(1, count) for axis in (0, 1))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


def plot(panels: Sequence[Panel], x_title: str) -> str:
    """An SVG of all panels, one below the other, from 0 up."""
    height = HEIGHT * len(panels) + BOTTOM
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">'
    parts = [head, '<rect width="100%" height="100%" fill="white"/>']
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0,{number * HEIGHT})">', *_panel(panel), "</g>"]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts += [f'<text x="{middle:.0f}" y="{height - 8}" text-anchor="middle">{escape(x_title)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _round_up(value: float) -> float:
    """The next number whose quarters read well."""
    if value <= 0:
        return 1.0
    unit: float = 10 ** floor(log10(value))
    return next(unit * factor for factor in ROUND if unit * factor >= value)


def _panel(panel: Panel) -> list[str]:
    points = [point for line in panel.lines.values() for point in line]
    most_x, most_y = (_round_up(max((point[axis] for point in points), default=0)) for axis in (0, 1))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = [f'<text x="{LEFT}" y="{TOP - 10}" font-weight="bold">{escape(panel.title)}</text>']
    for tick in range(TICKS + 1):
        x, y = LEFT + width * tick / TICKS, TOP + height - height * tick / TICKS
        parts += [
            f'<line x1="{LEFT}" x2="{LEFT + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>',
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most_y * tick / TICKS:,g}</text>',
            f'<text x="{x:.1f}" y="{TOP + height + 16}" text-anchor="middle">{most_x * tick / TICKS:g}</text>',
        ]
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        drawn = " ".join(f"{LEFT + width * x / most_x:.1f},{TOP + height - height * y / most_y:.1f}" for x, y in line)
        parts += [
            f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
            f'<text x="{LEFT + width + 10}" y="{TOP + 14 + 16 * number}" fill="{colour}">{escape(name)}</text>',
        ]
    return parts
