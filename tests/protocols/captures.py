"""Captured frames: one JSON object a line in ``tests/captures``.

Shape: ``id``, ``source``, ``note``, ``hex``, ``kind``, ``phone``, ``sequence``; where the source tells: ``values``,
``locations``, ``reply`` (null for none) and ``platform_sequence``, the sequence number of that reply if it is not 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "captures"
Capture = dict[str, Any]


def captures(protocol: str) -> list[Capture]:
    lines = (FOLDER / f"{protocol}.jsonl").read_text("utf-8").splitlines()
    return [{**capture, "frame": bytes.fromhex(capture["hex"])} for capture in map(json.loads, lines)]
