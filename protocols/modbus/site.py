"""The operator's maps: models and the DTUs of a site, from a folder of TOML files, or from tables that were read already."""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from protocols.modbus.frame import FRAMINGS, LAST_UNIT, Framing
from protocols.modbus.model import Model, read_model
from protocols.modbus.planner import MAX_LOAD, LinePlan, plan_line
from protocols.modbus.registration import MAX_BYTES, Match, Rule, exact, pattern
from protocols.modbus.tables import Label, MapError, Source, Table

MAX_IDENTITY = 56
"""With a slash and a unit behind it, it still is an identity."""
IDENTITY = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_IDENTITY - 1}}}"
OPTION = "maps"


class Dtu(NamedTuple):
    """One entry of a site: a DTU, or all that register alike."""

    id: str
    label: Label
    rule: Rule
    sent: str
    """When it sends its registration: ``connect``, ``each`` (before each packet of data), ``both``."""
    heartbeats: tuple[bytes, ...]
    heartbeat_seconds: float
    link_latency_seconds: float
    baud: int
    framing: Framing
    plan: LinePlan

    def identity(self, registration: bytes) -> str:
        """The identity of the DTU that has sent this."""
        return registration.decode("ascii") if self.rule.is_pattern else self.id


def unmapped_dtu(framing: str) -> Dtu:
    """A DTU of which no map tells anything."""
    nobody = Label("", "")
    return Dtu("", nobody, Rule((), ""), "connect", (), 60.0, 0.0, 9600, FRAMINGS[framing], LinePlan((), 0.0))


class Maps:
    """All that an operator has written."""

    def __init__(self, models: Mapping[str, Model], dtus: Sequence[Dtu]) -> None:
        self.models = models
        self.dtus = tuple(dtus)
        self.warnings = tuple(_warnings(dtus))
        """What works, but not as written."""
        self._by_id = {dtu.id: dtu for dtu in dtus if not dtu.rule.is_pattern}
        # A heartbeat that is the DTU's own name names it as well.
        named = {dtu.id.encode(): dtu for dtu in self._by_id.values() if dtu.id.encode() in dtu.heartbeats}
        self._exact = named | {dtu.rule.literal: dtu for dtu in self._by_id.values()}
        self._sorted = sorted(self._exact)
        self._lengths = sorted({len(literal) for literal in self._exact}, reverse=True)
        self._patterns = [dtu for dtu in dtus if dtu.rule.is_pattern]
        self._heartbeats = frozenset(text for dtu in dtus for text in dtu.heartbeats)

    def dtu(self, identity: str) -> tuple[Dtu, bytes] | None:
        """The entry of a DTU, and what it registers with."""
        if identity in self._by_id:
            return self._by_id[identity], self._by_id[identity].rule.literal
        raw = identity.encode("ascii", "replace")
        found = next((dtu for dtu in self._patterns if raw and dtu.rule.match(raw, 0).end == len(raw)), None)
        return None if found is None else (found, raw)

    def registered(self, data: bytes, at: int) -> tuple[Dtu | None, Match]:
        """The DTU whose registration stands at a place: the longest, of equal ones the exact."""
        best, end = None, 0
        for length in self._lengths:
            best = self._exact.get(data[at : at + length])
            if best is not None:
                end = at + length
                break
        left = data[at:]
        next_at = bisect_right(self._sorted, left)
        may_grow = next_at < len(self._sorted) and self._sorted[next_at].startswith(left)
        for dtu in self._patterns:
            match = dtu.rule.match(data, at)
            may_grow = may_grow or match.may_grow
            if match.end > end:
                best, end = dtu, match.end
        return best, Match(end, may_grow)

    def is_heartbeat(self, data: bytes) -> bool:
        """Whether some DTU sends this as its heartbeat."""
        return data in self._heartbeats


def read_folder(folder: Path) -> Maps:
    """All maps of a folder.

    Raises: ValueError, with the option's name; MapError, with file, line and key.
    """
    if not folder.is_dir():
        raise ValueError(f"{OPTION}: there is no folder {folder}")
    texts = {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.toml"))}
    if not texts:
        raise ValueError(f"{OPTION}: there is no *.toml in {folder}")
    return read_texts(texts)


def demo() -> Maps:
    """The maps that come with this package."""
    files = resources.files("protocols.modbus").joinpath("demo").iterdir()
    return read_texts({file.name: file.read_text("utf-8") for file in sorted(files, key=lambda file: file.name)})


def read_texts(texts: Mapping[str, str]) -> Maps:
    """Maps from the text of their files, by name."""
    tables = []
    for name, text in texts.items():
        try:
            tables.append((Source(name, text), tomllib.loads(text, parse_float=Decimal)))
        except tomllib.TOMLDecodeError as error:
            raise MapError(f"{name}: {error}") from error
    return _read(tables)


def read_tables(tables: Mapping[str, Any]) -> Maps:
    """Maps from tables by name."""
    return _read([(Source(name), values) for name, values in tables.items()])


def _read(tables: list[tuple[Source, Any]]) -> Maps:
    models: dict[str, Model] = {}
    sites: list[tuple[Source, Any]] = []
    for source, values in tables:
        if not isinstance(values, Mapping) or ("model" not in values) == ("dtu" not in values):
            raise source.error("file", "is neither a model's map (model = ...) nor a site ([[dtu]])")
        if "dtu" in values:
            sites.append((source, values))
            continue
        model = read_model(source, values)
        if model.name in models:
            raise source.error("model", f"there is a model {model.name} already")
        models[model.name] = model
    dtus = [dtu for source, values in sites for dtu in _site(source, values, models)]
    for index, dtu in enumerate(dtus):
        for other in dtus[:index]:
            if dtu.id == other.id:
                raise MapError(f"dtu: there are two with the id {dtu.id}")
            if dtu.rule.elements == other.rule.elements:
                raise MapError(f"dtu: {other.id} and {dtu.id} have the same registration")
    return Maps(models, dtus)


def _site(source: Source, values: Mapping[str, Any], models: Mapping[str, Model]) -> Iterable[Dtu]:
    table = Table(source, "", values)
    if table.has("schema"):
        table.integer("schema", 1, 1)
    dtus = [_dtu(entry, models) for entry in table.tables("dtu")]
    table.end()
    return dtus


def _dtu(table: Table, models: Mapping[str, Model]) -> Dtu:
    id, label = table.text("id", pattern=IDENTITY), table.label("name")
    rule = _rule(table.table("registration"))
    sent = table.word("registration_sent", ("connect", "each", "both"), "connect")
    heartbeats = tuple(_heartbeat(entry) for entry in table.tables("heartbeats"))
    heartbeat = table.integer("heartbeat_s", 1, 65_535, 60)
    latency = table.integer("link_latency_ms", 10, 60_000, 800) / 1000
    baud = table.integer("baud", 300, 921_600, 9600)
    framing = FRAMINGS[table.word("framing", FRAMINGS, "rtu")]
    slaves: dict[int, Model] = {}
    for entry in table.tables("slave"):
        unit, model = entry.integer("unit", 1, LAST_UNIT), entry.word("model", models)
        if unit in slaves:
            raise entry.error("unit", f"there is a unit {unit} on this line already")
        slaves[unit] = models[model]
        entry.end()
    table.end()
    plan = plan_line(slaves, latency, baud)
    return Dtu(id, label, rule, sent, heartbeats, float(heartbeat), latency, baud, framing, plan)


def _rule(table: Table) -> Rule:
    kinds = [key for key in ("ascii", "hex", "imei", "iccid", "pattern") if table.has(key)]
    if len(kinds) != 1:
        raise table.error("", "needs one of ascii, hex, imei, iccid, pattern")
    (kind,) = kinds
    if kind == "pattern":
        text = table.text(kind)
        try:
            rule = pattern(text)
        except ValueError as error:
            raise table.error(kind, str(error)) from error
        if rule.longest > MAX_IDENTITY:
            raise table.error(kind, f"{text!r} may match more than {MAX_IDENTITY} characters")
    else:
        shapes = {"imei": r"\d{15}", "iccid": r"89[0-9A-Za-z]{17,18}"}
        rule = exact(_bytes(table, kind, shapes.get(kind)), table.text(kind))
    table.end()
    return rule


def _heartbeat(table: Table) -> bytes:
    kind = "ascii" if table.has("ascii") else "hex"
    data = _bytes(table, kind)
    table.end()
    return data


def _bytes(table: Table, kind: str, shape: str | None = None) -> bytes:
    """Bytes that an operator writes as text or as hex."""
    text = table.text(kind, pattern=shape or r"[ -~]{1,200}")
    try:
        data = bytes.fromhex(text) if kind == "hex" else text.encode("ascii")
    except ValueError as error:
        raise table.error(kind, f"{text!r} is no hex") from error
    if not 1 <= len(data) <= MAX_BYTES:
        raise table.error(kind, f"{len(data)} bytes, where there may be 1 to {MAX_BYTES}")
    return data


def _warnings(dtus: Iterable[Dtu]) -> Iterable[str]:
    for dtu in dtus:
        if dtu.plan.load > MAX_LOAD:
            shortest = min((group.group.interval_seconds for unit in dtu.plan.units for group in unit.groups), default=0.0)
            yield (
                f"line {dtu.id} needs {shortest * dtu.plan.load / MAX_LOAD:.0f} s for its {shortest:.0f} s cycle: "
                f"all its intervals are {dtu.plan.load / MAX_LOAD:.1f} times as long"
            )
