"""The shape of a rule as people write it, and all that is asked of one: fields, units, what goes with what.

RuleDeclaration ─┬─ scope: all devices, or those of a group, a tag, a protocol, a list
                 └─ when ─▶ Condition: a small tree of thresholds, fences, silence, all, any, not

What does not fit is a ValueError. :mod:`store.rules.reading` makes rules of text, and says in people's words what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from store.json_text import plain_text
from store.models import ALARM_LENGTH, CHANNEL_LENGTH, IDENTITY_LENGTH, PROTOCOL_LENGTH, TAG_LENGTH
from store.rows import ALARM_PREFIX
from store.rules.geometry import Circle, Corridor, Fence, Point, Polygon

NAME_LENGTH = ALARM_LENGTH - len(ALARM_PREFIX)
MOST_CONDITIONS = 32
"""Of one rule: what is longer nobody reads, and each report that it may concern pays for it."""
MOST_POINTS = 200
MOST_DEVICES = 1_000
MOST_MINUTES = 60 * 24 * 366
MOST_SECONDS = 60 * 60 * 24


class Op(StrEnum):
    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    IS = "=="
    IS_NOT = "!="
    BETWEEN = "between"
    OUTSIDE = "outside"


RANGES = (Op.BETWEEN, Op.OUTSIDE)
EQUALITIES = (Op.IS, Op.IS_NOT)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Threshold(_Part):
    """What a channel's value is held against."""

    channel: str = Field(min_length=1, max_length=CHANNEL_LENGTH)
    op: Annotated[Op, Field(strict=False)]
    value: Any
    clear: Any = None
    """In place of the value while the alarm lasts: so that one which wavers around it is one alarm."""

    @field_validator("value", "clear")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if isinstance(value, list):
            if len(value) != 2 or not all(map(_is_number, value)) or value[0] > value[1]:
                raise ValueError("give two numbers, [low, high]")
            return value
        if isinstance(value, str):
            if plain_text(value) != value:
                raise ValueError("these words no report can have")
            return value
        if value is not None and not isinstance(value, bool) and not _is_number(value):
            raise ValueError("give a number, [low, high], true, false, or words in quotes")
        return value

    @model_validator(mode="after")
    def _fitting(self) -> Threshold:
        if self.op in RANGES:
            if not isinstance(self.value, list):
                raise ValueError(f"{self.op} needs two numbers, [low, high], as value")
        elif self.op in EQUALITIES:
            if self.value is None or isinstance(self.value, list):
                raise ValueError(f"{self.op} needs a number, true, false, or words in quotes as value")
            if self.clear is not None:
                raise ValueError(f"clear means nothing with {self.op}")
        elif not _is_number(self.value):
            raise ValueError(f"{self.op} needs a number as value")
        if self.clear is not None and not self._is_wider():
            raise ValueError("clear has to be like value, and on the side of it where the alarm goes on: > 8 with clear 6")
        return self

    def _is_wider(self) -> bool:
        if isinstance(self.value, list):
            if not isinstance(self.clear, list):
                return False
            (low, high), (clear_low, clear_high) = self.value, self.clear
            is_around: bool = clear_low <= low and high <= clear_high
            is_within: bool = low <= clear_low and clear_high <= high
            return is_around if self.op is Op.BETWEEN else is_within
        if not _is_number(self.clear):
            return False
        return bool(self.clear <= self.value if self.op in (Op.ABOVE, Op.AT_LEAST) else self.clear >= self.value)


class Round(_Part):
    center: list[float]
    radius_m: float = Field(gt=0, le=10_000_000)

    _is_place = field_validator("center")(lambda value: _checked_places([value])[0])


class Along(_Part):
    line: list[list[float]] = Field(min_length=2, max_length=MOST_POINTS)
    half_width_m: float = Field(gt=0, le=1_000_000)

    _are_places = field_validator("line")(lambda value: _checked_places(value))


class Geofence(_Part):
    """Whether a device is inside or outside of one area."""

    fence: Literal["inside", "outside"]
    circle: Round | None = None
    polygon: list[list[float]] | None = Field(default=None, min_length=3, max_length=MOST_POINTS + 1)
    corridor: Along | None = None
    clear_m: float = Field(default=0.0, ge=0, le=100_000)
    """So far beyond the border a device has to be before the alarm ends."""

    _are_places = field_validator("polygon")(lambda value: value and _checked_places(value))

    @model_validator(mode="after")
    def _shaped(self) -> Geofence:
        if sum(shape is not None for shape in (self.circle, self.polygon, self.corridor)) != 1:
            raise ValueError("a fence has one of circle, polygon, corridor")
        self.area()
        return self

    def area(self) -> Fence:
        """Raises: FenceError"""
        if self.circle is not None:
            return Circle(_point(self.circle.center), self.circle.radius_m)
        if self.polygon is not None:
            return Polygon(list(map(_point, self.polygon)))
        assert self.corridor is not None, "it has one shape"
        return Corridor(list(map(_point, self.corridor.line)), self.corridor.half_width_m)


class Silence(_Part):
    """That nothing came from a device for so long."""

    no_data_minutes: int = Field(ge=1, le=MOST_MINUTES)


class All(_Part):
    all: list[Condition] = Field(min_length=1)


class AnyOf(_Part):
    any: list[Condition] = Field(min_length=1)


class Not(_Part):
    negated: Condition = Field(alias="not")


TAGS = {"channel": "@1", "fence": "@2", "no_data_minutes": "@3", "all": "@4", "any": "@5", "not": "@6"}
"""By which the kinds of conditions are told apart. Pydantic puts them into the place of a fault; nobody writes them."""


def _tag(value: Any) -> str | None:
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True, exclude_none=True)
    return next((tag for key, tag in TAGS.items() if isinstance(value, Mapping) and key in value), None)


_Tagged = (
    Annotated[Threshold, Tag("@1")]
    | Annotated[Geofence, Tag("@2")]
    | Annotated[Silence, Tag("@3")]
    | Annotated[All, Tag("@4")]
    | Annotated[AnyOf, Tag("@5")]
    | Annotated[Not, Tag("@6")]
)
Condition = Annotated[
    _Tagged,
    Discriminator(_tag, custom_error_type="no_condition", custom_error_message=f"a condition has one of {', '.join(TAGS)}"),
]


class DeviceName(_Part):
    protocol: str = Field(min_length=1, max_length=PROTOCOL_LENGTH)
    identity: str = Field(min_length=1, max_length=IDENTITY_LENGTH)


class Scope(_Part):
    """Which devices a rule is for; without any of these, all."""

    group: str | None = None
    """And those below it."""
    tag: str | None = Field(default=None, min_length=1, max_length=TAG_LENGTH)
    protocol: str | None = Field(default=None, min_length=1, max_length=PROTOCOL_LENGTH)
    devices: list[DeviceName] | None = Field(default=None, min_length=1, max_length=MOST_DEVICES)

    @model_validator(mode="before")
    @classmethod
    def _all(cls, value: Any) -> Any:
        return {} if value == "all" else value

    @model_validator(mode="after")
    def _one(self) -> Scope:
        if len(self.model_dump(exclude_none=True)) > 1:
            raise ValueError('a scope has one of group, tag, protocol, devices, or is "all"')
        return self


class RuleDeclaration(_Part):
    name: str = Field(min_length=1, max_length=NAME_LENGTH)
    enabled: bool = True
    severity: Literal["critical", "warning", "notice"] = "warning"
    scope: Scope = Scope()
    when: Condition
    for_seconds: int = Field(default=0, ge=0, le=MOST_SECONDS)
    clear_for_seconds: int = Field(default=0, ge=0, le=MOST_SECONDS)

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if name != name.strip() or not name.isprintable() or plain_text(name) != name:
            raise ValueError("give words without line breaks, and no spaces around them")
        return name

    @model_validator(mode="after")
    def _sound(self) -> RuleDeclaration:
        leaves = list(_leaves(self.when))
        if len(leaves) > MOST_CONDITIONS:
            raise ValueError(f"when has {len(leaves)} conditions: {MOST_CONDITIONS} is the most")
        _check_silence(self, leaves)
        _check_negated(self.when, is_negated=False)
        return self

    def to_json(self) -> dict[str, Any]:
        """As it is written down, without what is as it would be by itself."""
        told: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        scope = told.get("scope") or "all"
        return {"name": self.name, "enabled": self.enabled, "severity": self.severity, "scope": scope, **_rest(told)}


for _model in (All, AnyOf, Not, RuleDeclaration):
    _model.model_rebuild()


def _rest(told: dict[str, Any]) -> dict[str, Any]:
    return {key: told[key] for key in ("when", "for_seconds", "clear_for_seconds") if key in told}


def silence_of(when: Any) -> int | None:
    """The minutes of a rule that is about silence."""
    parts = when.all if isinstance(when, All) else [when]
    return next((part.no_data_minutes for part in parts if isinstance(part, Silence)), None)


def _check_silence(rule: RuleDeclaration, leaves: Sequence[Any]) -> None:
    """Raises: ValueError"""
    silences = sum(isinstance(leaf, Silence) for leaf in leaves)
    if silences and (silences > 1 or silence_of(rule.when) is None):
        raise ValueError("no_data_minutes stands alone, or once beside others in the outermost all")
    if silences and (rule.for_seconds or rule.clear_for_seconds):
        raise ValueError("for_seconds and clear_for_seconds mean nothing with no_data_minutes: it ends with the next message")


def _check_negated(condition: Any, is_negated: bool) -> None:
    """Raises: ValueError"""
    match condition:
        case Threshold(clear=clear) if is_negated and clear is not None:
            raise ValueError("clear means nothing inside of not: write the opposite comparison")
        case Geofence(clear_m=clear_m) if is_negated and clear_m:
            raise ValueError("clear_m means nothing inside of not: write inside for outside, or the other way round")
        case Not(negated=inner):
            _check_negated(inner, not is_negated)
        case _:
            for part in parts_of(condition):
                _check_negated(part, is_negated)


def parts_of(condition: Any) -> Sequence[Any]:
    """Conditions that a condition is made of; none of a threshold, a fence or silence."""
    match condition:
        case All(all=parts) | AnyOf(any=parts):
            return parts
        case Not(negated=inner):
            return [inner]
    return ()


def _leaves(condition: Any) -> Iterator[Any]:
    parts = parts_of(condition)
    if not parts:
        yield condition
    for part in parts:
        yield from _leaves(part)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _point(pair: Sequence[float]) -> Point:
    return pair[0], pair[1]


def _checked_places(places: list[list[float]]) -> list[list[float]]:
    for number, place in enumerate(places, 1):
        which = f"point {number}: " if len(places) > 1 else ""
        if len(place) != 2:
            raise ValueError(f"{which}give [latitude, longitude] in degrees")
        if abs(place[0]) > 90 or abs(place[1]) > 180:
            raise ValueError(f"{which}[{place[0]:g}, {place[1]:g}] is not on the earth: give [latitude, longitude] in degrees")
    return places
