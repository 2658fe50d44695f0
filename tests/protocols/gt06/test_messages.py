"""The table: kinds, and every layout with any bytes."""

from __future__ import annotations

from random import Random

import pytest

from protocols import Message
from protocols.compiler import compile
from protocols.gt06 import GT06
from protocols.gt06.frame import HEAD, form_of, kind_of
from protocols.gt06.messages import MESSAGES
from protocols.rows import Direction
from tests.protocols.declarations import differences
from tests.protocols.gt06.frames import IMEI

LAYOUTS = [
    pytest.param(layout, id=f"{row.name} {name}") for row in MESSAGES.values() for name, layout in row.layouts.items()
]  # fmt: skip


def test_kinds_tell_form_and_direction() -> None:
    for kind, row in MESSAGES.items():
        is_down = kind not in (0x80,) and kind & 0x8000 == 0x8000
        assert kind_of(form_of(kind), kind & 0xFF, is_down) == kind
        assert (row.direction is Direction.DOWN) == (is_down or kind == 0x80)
    assert GT06.kind_name(0x7922) == "0x7922"
    assert not GT06.ends_session(0x22)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_compiled_is_interpreted_and_nothing_is_lost(layout) -> None:  # type: ignore[no-untyped-def]
    random = Random(6)
    for size in (*range(12), 18, 26, 33, 40, 60, 110):
        for _ in range(3):
            body = bytes(random.choice((0, 0, 1, 2, 9, random.randrange(256))) for _ in range(size))
            assert not list(differences(layout, body))
            try:
                parsed = compile(layout).parse(body)
            except Exception:
                continue
            built = compile(layout).build(parsed)
            assert built == body[: len(built)]


def test_every_layout_is_chosen_by_something() -> None:
    random = Random(7)
    for row in MESSAGES.values():
        chosen = set()
        for size in range(120):
            for first in range(32):
                for form in (0x78, 0x00):
                    body = (bytes((first,)) + random.randbytes(size))[:size]
                    chosen.add(id(row.layout(Message(IMEI, row.id, 1, bytes((form, 0, 0, 0)), body))))
        assert chosen


def test_the_head_is_declared() -> None:
    head = HEAD.parse(bytes.fromhex("78 00 2122"))
    assert (head.form, head.zone.values) == ("short", {"language": 2, "reserved": False, "west": False, "offset": 530})
