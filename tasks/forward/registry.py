"""The kinds of targets there are: ours, and those of other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from tasks.forward.mqtt import MQTT
from tasks.forward.target import Target, TargetKind
from tasks.forward.webhook import WEBHOOK

GROUP = "iotgw.targets"
"""The entry points by which an installed package offers kinds. Each names a :class:`TargetKind` object."""

KINDS = {kind.name: kind for kind in (WEBHOOK, MQTT)}
"""Ours, by name."""


class KindError(Exception):
    """A target cannot be had as it is asked for. The text says why, and what to do."""


def registered() -> dict[str, TargetKind]:
    """All kinds by name.

    Raises: KindError
    """
    kinds = dict(KINDS)
    for entry in entry_points(group=GROUP):
        kind = _load(entry)
        if kind.name in kinds:
            raise KindError(f"{_package(entry)} offers targets of kind {kind.name!r}, but there are such already: uninstall one")
        kinds[kind.name] = kind
    return kinds


def find(name: str) -> TargetKind:
    """Raises: KindError"""
    kinds = registered()
    if name not in kinds:
        raise KindError(f"there is no kind of target {name!r}: use one of {', '.join(sorted(kinds))}")
    return kinds[name]


def checked_options(kind: TargetKind, address: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options as they are kept.

    Raises: KindError
    """
    try:
        kind.check_address(address)
    except ValueError as error:
        raise KindError(f"address: {error}") from error
    try:
        return kind.options.model_validate(options).model_dump(mode="json", exclude_defaults=True)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or kind.name}: {_told(fault)}" for fault in error.errors(include_url=False)]
        raise KindError("; ".join(faults)) from error


def make(name: str, address: str, options: dict[str, Any]) -> Target:
    """Raises: KindError"""
    kind = find(name)
    return kind.make(address, kind.options.model_validate(checked_options(kind, address, options)))


def _told(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "there is no such option"
    text = str(fault["msg"]).removeprefix("Value error, ")
    return text[0].lower() + text[1:]


def _load(entry: EntryPoint) -> TargetKind:
    try:
        kind = entry.load()
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise KindError(
            f"{_package(entry)}: its kind of target {entry.name!r} cannot be loaded ({why}): mend or uninstall it"
        ) from error
    if not isinstance(kind, TargetKind):
        raise KindError(f"{_package(entry)}: {entry.value} is no TargetKind object")
    return kind


def _package(entry: EntryPoint) -> str:
    return f"package {entry.dist.name}" if entry.dist else f"entry point {entry.name}"
