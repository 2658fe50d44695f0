"""Writing a protocol's reference pages to a folder."""

from __future__ import annotations

import json
from pathlib import Path

from protocols import DeviceProtocol
from protocols.reference import pages


def read_frames(captures: Path | None) -> list[bytes]:
    """The frames of a file of captures, one JSON object with ``hex`` a line."""
    lines = captures.read_text("utf-8").splitlines() if captures else []
    return [bytes.fromhex(json.loads(line)["hex"]) for line in lines]


def write_pages(protocol: DeviceProtocol, folder: Path, captures: Path | None) -> tuple[int, int]:
    """Write all pages, and remove those of messages that are no more: how many of each."""
    made = pages(protocol, read_frames(captures))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (folder / name).write_text(text, "utf-8")
    old = [path for path in folder.glob("[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-*.md") if path.name not in made]
    for path in old:
        path.unlink()
    return len(made), len(old)
