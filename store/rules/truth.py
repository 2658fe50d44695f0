"""From a declared condition to plain Python that says whether it holds of what a report tells.

condition ─▶ without not: each comparison turned round instead ─▶ Leaf, Branch ─▶ judge(seen): yes, no, or None

None is that the report does not say: it has no such channel, no position, or a word where a number is asked for. What is told
decides as far as it can: one no decides all, one yes decides any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from store.rules.declaration import All, AnyOf, Geofence, Not, Op, RuleDeclaration, Silence, Threshold, silence_of
from store.rules.geometry import Fence, Point


class Seen(NamedTuple):
    """What is told of a device."""

    values: Mapping[str, Any]
    place: Point | None

    def behind(self, earlier: Seen) -> Seen:
        """This, and what was told before of all else."""
        return Seen({**earlier.values, **self.values}, self.place or earlier.place)


Truth = bool | None
Judge = Callable[[Seen], Truth]


class ValueLeaf(NamedTuple):
    """A channel's value held against another."""

    channel: str
    test: Callable[[Any], Truth]
    turns: Sequence[Any]
    """Where its answer may change: between two of them in a row, for numbers, it is the same."""

    def judge(self, seen: Seen) -> Truth:
        return self.test(seen.values.get(self.channel))


class PlaceLeaf(NamedTuple):
    fence: Fence
    is_inside: bool
    margin_m: float = 0.0
    """By which the fence is wider; by which it is narrower, if outside is asked for."""

    def judge(self, seen: Seen) -> Truth:
        return None if seen.place is None else self.has(*seen.place)

    def has(self, latitude: float, longitude: float) -> bool:
        return self.fence.has(latitude, longitude, self.margin_m) is self.is_inside


Leaf = ValueLeaf | PlaceLeaf


class Branch(NamedTuple):
    is_all: bool
    parts: Sequence[Node]


Node = Leaf | Branch


class CompiledRule(NamedTuple):
    """A rule as workers go by it."""

    id: int
    version: int
    name: str
    kind: str
    """Of its alarms."""
    severity: str
    node: Node | None
    """What opens an alarm; None of a rule that asks for silence only."""
    opens: Judge
    holds: Judge
    """What keeps it open."""
    channels: frozenset[str]
    has_place: bool
    wait: timedelta
    """How long it has to hold before an alarm is opened."""
    clear_wait: timedelta
    silence: timedelta | None

    def is_told_of(self, seen: Seen) -> bool:
        """Whether a report says anything that the rule asks for."""
        return (self.has_place and seen.place is not None) or not self.channels.isdisjoint(seen.values.keys())


def compiled(id: int, version: int, kind: str, rule: RuleDeclaration) -> CompiledRule:
    minutes = silence_of(rule.when)
    when = rule.when if minutes is None else _without_silence(rule.when)
    node = None if when is None else _node(when, is_negated=False, is_lasting=False)
    leaves = [] if node is None else list(leaves_of(node))
    return CompiledRule(
        id,
        version,
        rule.name,
        kind,
        rule.severity,
        node,
        _yes if node is None else _judge(node),
        _yes if when is None else _judge(_node(when, is_negated=False, is_lasting=True)),
        frozenset(leaf.channel for leaf in leaves if isinstance(leaf, ValueLeaf)),
        any(isinstance(leaf, PlaceLeaf) for leaf in leaves),
        timedelta(seconds=rule.for_seconds),
        timedelta(seconds=rule.clear_for_seconds),
        None if minutes is None else timedelta(minutes=minutes),
    )


def leaves_of(node: Node) -> Iterator[Leaf]:
    if isinstance(node, Branch):
        for part in node.parts:
            yield from leaves_of(part)
    else:
        yield node


def _yes(_: Seen) -> Truth:
    return True


def _without_silence(when: Any) -> Any:
    """What a rule about silence asks for besides; None for nothing."""
    left: list[Any] = [part for part in when.all if not isinstance(part, Silence)] if isinstance(when, All) else []
    return All(all=left) if left else None


def _node(condition: Any, *, is_negated: bool, is_lasting: bool) -> Node:
    match condition:
        case Not(negated=inner):
            return _node(inner, is_negated=not is_negated, is_lasting=is_lasting)
        case All(all=parts) | AnyOf(any=parts):
            nodes = [_node(part, is_negated=is_negated, is_lasting=is_lasting) for part in parts]
            return nodes[0] if len(nodes) == 1 else Branch(isinstance(condition, All) is not is_negated, nodes)
        case Geofence():
            is_inside = (condition.fence == "inside") is not is_negated
            margin = condition.clear_m if is_lasting else 0.0
            return PlaceLeaf(condition.area(), is_inside, margin if is_inside else -margin)
        case Threshold():
            value = condition.clear if is_lasting and condition.clear is not None else condition.value
            return _value_leaf(condition.channel, condition.op, value, is_negated)
    raise TypeError(f"{type(condition).__name__} is no condition")


_NEGATED = {
    Op.ABOVE: Op.AT_MOST, Op.AT_MOST: Op.ABOVE, Op.BELOW: Op.AT_LEAST, Op.AT_LEAST: Op.BELOW,
    Op.IS: Op.IS_NOT, Op.IS_NOT: Op.IS, Op.BETWEEN: Op.OUTSIDE, Op.OUTSIDE: Op.BETWEEN,
}  # fmt: skip


def _value_leaf(channel: str, op: Op, value: Any, is_negated: bool) -> ValueLeaf:
    compare = _comparison(_NEGATED[op] if is_negated else op, value)
    turns = value if isinstance(value, list) else [value]
    if isinstance(turns[0], (int, float)) and not isinstance(turns[0], bool):
        return ValueLeaf(channel, lambda told: compare(told) if told.__class__ in (float, int) else None, turns)
    kind = type(value)
    return ValueLeaf(channel, lambda told: compare(told) if told.__class__ is kind else None, turns)


def _comparison(op: Op, value: Any) -> Callable[[Any], bool]:
    match op:
        case Op.ABOVE:
            return lambda told: bool(told > value)
        case Op.AT_LEAST:
            return lambda told: bool(told >= value)
        case Op.BELOW:
            return lambda told: bool(told < value)
        case Op.AT_MOST:
            return lambda told: bool(told <= value)
        case Op.IS:
            return lambda told: bool(told == value)
        case Op.IS_NOT:
            return lambda told: bool(told != value)
    low, high = value
    if op is Op.BETWEEN:
        return lambda told: bool(low <= told <= high)
    return lambda told: bool(told < low or told > high)


def _judge(node: Node) -> Judge:
    if not isinstance(node, Branch):
        return node.judge
    parts, deciding = [_judge(part) for part in node.parts], not node.is_all

    def judge(seen: Seen) -> Truth:
        is_told = True
        for part in parts:
            truth = part(seen)
            if truth is deciding:
                return deciding
            is_told = is_told and truth is not None
        return not deciding if is_told else None

    return judge
