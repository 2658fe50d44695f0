"""Modbus as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from protocols.base import BaseProtocol
from protocols.body import read
from protocols.catalogue import Entry
from protocols.command import AnswersName, CommandKind
from protocols.explanation import Field
from protocols.message import Message
from protocols.modbus.catalogue import map_commands
from protocols.modbus.codec import ModbusCodec
from protocols.modbus.explain import MBAP_HEADER, RTU_HEADER, explain_frame
from protocols.modbus.messages import MESSAGES
from protocols.modbus.model import Model
from protocols.modbus.reading import HEAD
from protocols.modbus.reports import decode
from protocols.modbus.site import OPTION, Maps, demo, read_folder, read_tables
from protocols.modbus.terminal import ModbusTerminal
from protocols.modbus.writing import COMMANDS, command_fields
from protocols.report import Decoded, DecodeError


class ModbusProtocol(BaseProtocol):
    """Meters, relay boards and the like behind DTUs that dial in; the platform is the master of their lines (主站)."""

    name = "modbus"
    title = "Modbus"
    port = 5502
    answers_name = AnswersName.KIND
    messages = MESSAGES
    headers = MappingProxyType({"RTU": RTU_HEADER, "MBAP": MBAP_HEADER})

    def __init__(self, maps: Maps | None = None) -> None:
        self.maps = maps or demo()

    @property
    def models(self) -> Mapping[str, Model]:
        """The register maps by model, with the texts and units of their points and commands."""
        return self.maps.models

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know of the maps: they work, but not as written."""
        return self.maps.warnings

    def configure(self, options: Mapping[str, Any]) -> ModbusProtocol:
        """With the maps of the operator: ``maps`` is the folder they are in, or tables by file name.

        Raises: ValueError, with file, line and key where a map cannot be.
        """
        for option in options:
            if option != OPTION:
                raise ValueError(f"{option}: Modbus has no such option, but {OPTION}")
        if OPTION not in options:
            return self
        maps = options[OPTION]
        if isinstance(maps, Mapping):
            return ModbusProtocol(read_tables(maps))
        if not isinstance(maps, (str, Path)):
            raise ValueError(f"{OPTION}: {maps!r} is no folder")
        return ModbusProtocol(read_folder(Path(maps)))

    def more_entries(self) -> dict[str, Entry]:
        """The points of all models; of one that models measure in two units, neither."""
        found: dict[str, Entry] = {}
        for model in self.models.values():
            for point in (point for group in model.groups.values() for point in group.points):
                entry = found.setdefault(point.key, Entry(point.unit, point.label.en, point.label.zh))
                if entry.unit != point.unit:
                    found[point.key] = entry._replace(unit="")
        return found

    def more_commands(self, head: bytes = b"") -> dict[str, CommandKind]:
        """The commands of the maps; with a head those of its unit's model."""
        model = self._model(head)
        if model is None:
            return map_commands(self.models.values())
        found = map_commands([model])
        return {name: one._replace(preset={**one.preset, "model": model.name}) for name, one in found.items()}

    def fields_of(self, identity: str, head: bytes) -> Mapping[str, Any]:
        """A unit's device is its DTU's with its number behind a slash: ``PS0001/2``."""
        dtu, _, unit = identity.rpartition("/")
        return {"unit": int(unit)} if dtu and unit.isascii() and unit.isdecimal() else {}

    def codec(self, identity: str = "") -> ModbusCodec:
        return ModbusCodec(self.maps, identity)

    def terminal(self, identity: str) -> ModbusTerminal:
        found = self.maps.dtu(identity)
        if found is None:
            raise ValueError(f"{identity} is none of the DTUs in the maps")
        return ModbusTerminal(*found)

    def simulated_identity(self, number: int) -> str:
        """One of the DTUs in the maps; of those that register alike, the one of this number."""
        pattern = next((dtu.rule for dtu in self.maps.dtus if dtu.rule.is_pattern), None)
        if pattern is not None:
            return pattern.example(number).decode("ascii")
        if not self.maps.dtus:
            raise ValueError("there are no DTUs in the maps")
        return self.maps.dtus[number % len(self.maps.dtus)].id

    def decode(self, message: Message) -> Decoded:
        return decode(message, self.maps.models)

    def explain(self, frame: bytes) -> Field:
        return explain_frame(frame, self.maps)

    def _model(self, head: bytes) -> Model | None:
        try:
            return self.models.get(read(HEAD, head).model) if head else None
        except DecodeError:
            return None

    def build(self, kind: str | int, fields: Mapping[str, Any], edition: str = "") -> bytes:
        """The body of a message. A command of a map is told by ``unit``, ``command``, ``value`` and, of several alike,
        ``n``; any other by its fields.

        Raises: ValueError, with the field, its value and what it may be.
        """
        row = self._row(kind)
        if row.id not in COMMANDS:
            return super().build(row.id, fields, edition)
        if fields.get("command"):
            try:
                fields = command_fields(row.id, fields, self.maps.models) if "address" not in fields else fields
            except ValueError as error:
                raise ValueError(f"{row.name}: {error}") from error
        return super().build(row.id, {"command": "", "n": 0, **fields}, edition)
