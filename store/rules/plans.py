"""Which rules a report can concern, found without asking each: a look for each channel, and one for the place.

report ─▶ its names ─▶ Plan: channel ─▶ between which two thresholds its value is ─▶ rules that may hold
                             place ───▶ which cell of a grid it is in ─▶ rules that hold there, fences to look at

A rule may hold by a report only if something that it asks for does: for each rule so few of its comparisons are watched as
are needed to notice, among what the report carries. What is found may not hold after all; what is not found does not.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf, nextafter
from typing import Any

from protocols.catalogue import MEASURES
from store.rows import PreparedReport
from store.rules.geometry import Box
from store.rules.truth import Branch, CompiledRule, Leaf, Node, PlaceLeaf, Seen, ValueLeaf, leaves_of

CELLS_A_DEGREE = 50
"""A cell is about two kilometres high: less than most fences, so that few borders are in one."""
_ROUNDING = 1e-9
_ROW = 1e6
MOST_CELLS = 20_000
MOST_PLANS = 500
MOST_NAMES = 5_000
"""What is remembered at most, of places and of names that devices make up. Beyond that it is forgotten and made again."""

PLACE = ""
"""Stands for the place among names of channels, of which none is empty."""

Watched = Sequence[tuple[Leaf, CompiledRule]]
Found = tuple[CompiledRule, ...]
_NOTHING: Found = ()


def seen(report: PreparedReport) -> Seen:
    """What a report tells to rules."""
    row = report.row
    measures = {name: value for name in MEASURES if (value := getattr(row, name)) is not None}
    place = (row.latitude, row.longitude) if report.is_position else None
    return Seen({**measures, **report.values} if measures else report.values, place)  # type: ignore[arg-type]


class RuleSet:
    """Rules that hold for the same devices."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self.rules = {rule.id: rule for rule in rules}
        self._asked = [rule for rule in self.rules.values() if rule.silence is None]
        self._channels = frozenset().union(*(rule.channels for rule in self._asked))
        self._has_place = any(rule.has_place for rule in self._asked)
        self._plans: dict[frozenset[str], Plan] = {}
        self._by_names: dict[tuple[Any, ...], Plan] = {}

    def concerned(self, report: PreparedReport) -> Found:
        """Rules that may hold by a report; mostly none. Every report is asked."""
        row = report.row
        key = (report.names, report.is_position, row.speed_kmh is None, row.altitude_m is None, row.course_deg is None)
        plan = self._by_names.get(key)
        if plan is None:
            plan = self._plan(report, key)
        values, found = report.values, _NOTHING
        try:
            for name, table in plan.values:
                value = values[name]
                # Mostly it is where the one before was, far from all that rules ask for.
                if not table.low < value < table.high:
                    found += table.find(value)
        except (TypeError, KeyError):
            # It is no number. Two lists of names are never taken for one another, but for a chance in 2 to the 63.
            found = tuple(rule for name, table in plan.values for rule in table.find(values.get(name)))
        for name, table in plan.measures:
            value = values[name] if name in values else getattr(row, name)
            found += table.find(value)
        if plan.places is not None:
            found += plan.places.find(row.latitude, row.longitude)  # type: ignore[arg-type]
        return found

    def _plan(self, report: PreparedReport, key: tuple[Any, ...]) -> Plan:
        told = seen(report)
        names = self._channels.intersection(told.values)
        if self._has_place and told.place is not None:
            names |= {PLACE}
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        if len(self._by_names) >= MOST_NAMES or not self._plans:
            self._by_names.clear()
        if names not in self._plans:
            self._plans[names] = Plan(self._asked, names)
        self._by_names[key] = self._plans[names]
        return self._plans[names]


class Plan:
    """For reports that carry the same of what rules ask for."""

    def __init__(self, rules: Sequence[CompiledRule], names: frozenset[str]) -> None:
        watched: dict[str, list[tuple[Leaf, CompiledRule]]] = defaultdict(list)
        for rule in rules:
            assert rule.node is not None, "only rules about silence ask for nothing else"
            for leaf in _watched(rule.node, names):
                watched[leaf.channel if isinstance(leaf, ValueLeaf) else PLACE].append((leaf, rule))
        self.places = _Places(watched.pop(PLACE)) if PLACE in watched else None
        self.measures = [(name, _Values(watched.pop(name))) for name in MEASURES if name in watched]
        self.values = [(name, _Values(found)) for name, found in watched.items()]


def _watched(node: Node, names: frozenset[str]) -> list[Leaf]:
    """Comparisons of which one holds whenever a report with these names makes the condition hold; none if it cannot."""
    told = [leaf for leaf in leaves_of(node) if _is_told(leaf, names)]
    return (_needed(node, names) or told) if told else []


def _needed(node: Node, names: frozenset[str]) -> list[Leaf] | None:
    """Those of which one has to hold, so few as can be; None if it may hold without any, by what was told before."""
    if not isinstance(node, Branch):
        return [node] if _is_told(node, names) else None
    parts = [_needed(part, names) for part in node.parts]
    known = [part for part in parts if part is not None]
    if node.is_all:
        return min(known, key=_cost, default=None)
    return [leaf for part in known for leaf in part] if len(known) == len(parts) else None


def _cost(leaves: Sequence[Leaf]) -> tuple[int, int]:
    """Fences and numbers are seldom beyond their border; yes and no hold half of the time."""
    return sum(isinstance(leaf, ValueLeaf) and isinstance(leaf.turns[0], (bool, str)) for leaf in leaves), len(leaves)


def _is_told(leaf: Leaf, names: frozenset[str]) -> bool:
    return (leaf.channel if isinstance(leaf, ValueLeaf) else PLACE) in names


class _Values:
    """Of one channel: what its value may make hold. Of numbers, and yes and no, between ``low`` and ``high`` it is nothing."""

    __slots__ = ("_no", "_other_words", "_stretches", "_turns", "_words", "_yes", "high", "low")

    def __init__(self, watched: Watched) -> None:
        self.low, self.high = inf, -inf
        leaves: list[tuple[ValueLeaf, CompiledRule]] = [(leaf, rule) for leaf, rule in watched if isinstance(leaf, ValueLeaf)]
        turns = {turn for leaf, _ in leaves for turn in leaf.turns if not isinstance(turn, (bool, str))}
        self._turns = sorted(turns)
        # Between two turns, at one, between it and the next, ...
        probes = [nextafter(self._turns[0], -inf)] if turns else []
        for turn in self._turns:
            probes += [turn, nextafter(turn, inf)]
        self._stretches = [_holding(leaves, probe) for probe in probes]
        words = {turn for leaf, _ in leaves for turn in leaf.turns if isinstance(turn, str)}
        self._words = {word: _holding(leaves, word) for word in words}
        self._other_words = _holding(leaves, next(word for number in range(len(words) + 1) if (word := f"{number}") not in words))
        self._yes, self._no = _holding(leaves, True), _holding(leaves, False)

    def find(self, value: Any) -> Found:
        kind = value.__class__
        if kind is float or kind is int:
            if self.low < value < self.high:
                return _NOTHING
            if not self._turns:
                return _NOTHING
            below, through = bisect_left(self._turns, value), bisect_right(self._turns, value)
            found = self._stretches[below + through]
            if not found and below == through and not (self._yes or self._no):
                self.low = self._turns[below - 1] if below else -inf
                self.high = self._turns[below] if below < len(self._turns) else inf
            return found
        if kind is bool:
            return self._yes if value else self._no
        return self._words.get(value, self._other_words) if kind is str else _NOTHING


def _holding(leaves: Iterable[tuple[ValueLeaf, CompiledRule]], value: Any) -> Found:
    return tuple(rule for leaf, rule in leaves if leaf.test(value))


_Cell = tuple[Found, Sequence[tuple[Box, PlaceLeaf, CompiledRule]]]
"""Rules that hold in all of it, and those whose fences have to be looked at."""


class _Places:
    """Rules whose fences make them hold, by cells of a grid: what a cell's place decides is known when one was seen in it."""

    def __init__(self, watched: Watched) -> None:
        self._watched = [(leaf, rule) for leaf, rule in watched if isinstance(leaf, PlaceLeaf)]
        self._cells: dict[float, _Cell] = {}

    def find(self, latitude: float, longitude: float) -> Found:
        # One number for both: a tuple would take longer than all else here.
        key = latitude * CELLS_A_DEGREE // 1 * _ROW + longitude * CELLS_A_DEGREE // 1
        cell = self._cells.get(key)
        if cell is None:
            cell = self._looked_up(key, latitude, longitude)
        found, doubtful = cell
        for (south, west, north, east), leaf, rule in doubtful:
            if south <= latitude <= north and west <= longitude <= east:
                is_holding = leaf.has(latitude, longitude)
            else:
                is_holding = not leaf.is_inside
            if is_holding:
                found += (rule,)
        return found

    def _looked_up(self, key: float, latitude: float, longitude: float) -> _Cell:
        if len(self._cells) >= MOST_CELLS:
            self._cells.clear()
        south, west = latitude * CELLS_A_DEGREE // 1 / CELLS_A_DEGREE, longitude * CELLS_A_DEGREE // 1 / CELLS_A_DEGREE
        # A little wider, for what rounding has put into the next cell.
        box = Box(
            south - _ROUNDING, west - _ROUNDING, south + 1 / CELLS_A_DEGREE + _ROUNDING, west + 1 / CELLS_A_DEGREE + _ROUNDING
        )
        settled = [(leaf, rule, leaf.fence.settles(box)) for leaf, rule in self._watched]
        holding = tuple(rule for leaf, rule, is_in in settled if is_in is leaf.is_inside)
        doubtful = [(leaf.fence.box, leaf, rule) for leaf, rule, is_in in settled if is_in is None]
        self._cells[key] = holding, doubtful
        return self._cells[key]
