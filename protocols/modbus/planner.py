"""What to ask of a line: points become blocks, each read by one request. Pure functions, without clock or socket.

One request costs a round trip over the mobile network and 13 bytes of frames, an unused register costs two: so points
that lie close together are read at once, within what a unit can bear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from protocols.modbus.model import Group, Limits, Model, Point
from protocols.modbus.pdu import BIT_READS, Request, read_request

BITS_A_CHARACTER = 11
PACKING_SECONDS = 0.05
"""How long a DTU waits for more bytes before it sends what it has."""
MAX_LOAD = 0.7
"""The share of the time that polls may take: the rest is for retries and commands."""


class Block(NamedTuple):
    """One read."""

    function: int
    address: int
    quantity: int

    def request(self, unit: int) -> Request:
        return read_request(unit, self.function, self.address, self.quantity)

    def holds(self, point: Point) -> bool:
        return self.function == point.function and self.address <= point.address and point.end <= self.address + self.quantity


class GroupPlan(NamedTuple):
    """The blocks that make one reading of a unit."""

    group: Group
    interval_seconds: float
    """Longer than the map's where the line has no time for that."""
    blocks: tuple[Block, ...]


class UnitPlan(NamedTuple):
    """What is asked of one unit."""

    unit: int
    model: Model
    groups: tuple[GroupPlan, ...]

    @property
    def shortest(self) -> Block | None:
        """The block that is read soonest: to see if a unit is there."""
        blocks = [block for group in self.groups for block in group.blocks]
        return min(blocks, key=lambda block: answer_bytes(block), default=None)


class LinePlan(NamedTuple):
    """What is asked of a line."""

    units: tuple[UnitPlan, ...]
    load: float
    """The share of the time that reading all blocks at their intervals would take."""


def blocks(points: Iterable[Point], limits: Limits) -> tuple[Block, ...]:
    """The blocks that read these points, by function and address. No point is read in two pieces: it could tear."""
    found: list[Block] = []
    by_place = sorted(points, key=lambda point: (point.function, point.address, point.end))
    for function, together in groupby(by_place, key=lambda point: point.function):
        most = limits.max_bits if function in BIT_READS else limits.max_registers
        gap = limits.merge_gap if limits.gap_readable else 0
        start = end = -1
        for point in together:
            if start >= 0 and point.address - end <= gap and max(end, point.end) - start <= most:
                end = max(end, point.end)
                continue
            if start >= 0:
                found.append(Block(function, start, end - start))
            start, end = point.address, point.end
        found.append(Block(function, start, end - start))
    return tuple(found)


def halves(block: Block, points: Iterable[Point]) -> tuple[Block, ...]:
    """A block in two, between two points; nothing if it cannot be divided."""
    inside = sorted((point for point in points if block.holds(point)), key=lambda point: (point.address, point.end))
    cuts = [
        (before, point.address)
        for index, point in enumerate(inside)
        if index and (before := max(other.end for other in inside[:index])) <= point.address
    ]
    if not cuts:
        return ()
    middle = block.address + block.quantity / 2
    end, start = min(cuts, key=lambda cut: abs(cut[1] - middle))
    last = max(point.end for point in inside)
    return Block(block.function, inside[0].address, end - inside[0].address), Block(block.function, start, last - start)


def longer(block: Block, limits: Limits) -> Block | None:
    """The block with so many addresses behind it that its answer has another length; None where that must not be read."""
    is_bits = block.function in BIT_READS
    quantity = block.quantity + (8 - (block.quantity - 1) % 8 if is_bits else 1)
    if (
        limits.gap_readable
        and quantity <= (limits.max_bits if is_bits else limits.max_registers)
        and block.address + quantity <= 0x10000
    ):
        return block._replace(quantity=quantity)
    return None


def answer_bytes(block: Block) -> int:
    """The size of the frame that answers a block."""
    return 5 + ((block.quantity + 7) // 8 if block.function in BIT_READS else 2 * block.quantity)


def wire_seconds(size: int, baud: int) -> float:
    """How long bytes take on the serial line."""
    return size * BITS_A_CHARACTER / baud


def plan_unit(unit: int, model: Model) -> UnitPlan:
    """The blocks of a unit, group by group."""
    groups = (GroupPlan(group, group.interval_seconds, blocks(group.points, model.limits)) for group in model.groups.values())
    return UnitPlan(unit, model, tuple(group for group in groups if group.blocks))


def plan_line(models: Mapping[int, Model], link_latency_seconds: float, baud: int) -> LinePlan:
    """The blocks of a line. Where they do not fit, all intervals of the line are stretched alike until they do."""
    units = [plan_unit(unit, model) for unit, model in models.items()]
    load = 0.0
    for plan in units:
        for group in plan.groups:
            for block in group.blocks:
                taken = link_latency_seconds + 2 * PACKING_SECONDS + wire_seconds(8 + answer_bytes(block), baud)
                load += (taken + plan.model.limits.turnaround_seconds) / group.interval_seconds
    if load <= MAX_LOAD:
        return LinePlan(tuple(units), load)
    by = load / MAX_LOAD
    stretched = (
        plan._replace(groups=tuple(group._replace(interval_seconds=group.interval_seconds * by) for group in plan.groups))
        for plan in units
    )
    return LinePlan(tuple(stretched), load)
