"""Stand-ins have the signatures of what they stand for."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from iotgw.commandbook import WorkersBook
from iotgw.depot import WorkersDepot
from iotgw.directory import RedisDirectory
from iotgw.evidencetable import EvidenceTable
from iotgw.marks import RedisMarks
from iotgw.publisher import Publisher
from iotgw.routetable import RouteTable
from iotgw.tappublisher import TapPublisher
from protocols.registry import PROTOCOLS
from tests.iotgw.fakes import (
    FakeBook,
    FakeDepot,
    FakeDirectory,
    FakeEvidenceTable,
    FakeMarks,
    FakePublisher,
    FakeRouteTable,
    FakeTapPublisher,
    LineCodec,
    LineProtocol,
)
from tests.iotgw.test_simulator import LineTerminal


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


REAL_PROTOCOL = PROTOCOLS["jt808"]


@pytest.mark.parametrize(
    ("fake", "real", "names"),
    [
        (FakePublisher, Publisher, ["publish"]),
        (FakeRouteTable, RouteTable, ["change"]),
        (FakeDirectory, RedisDirectory, ["remembered", "looked_up"]),
        (FakeMarks, RedisMarks, ["look"]),
        (FakeDepot, WorkersDepot, ["next_offers", "read_slice", "note"]),
        (FakeBook, WorkersBook, ["next_commands", "sending", "unsent"]),
        (FakeTapPublisher, TapPublisher, ["publish"]),
        (FakeEvidenceTable, EvidenceTable, ["write", "find", "facts", "strangers", "ask"]),
        (LineProtocol(), REAL_PROTOCOL, ["codec", "terminal", "decode", "kind_name", "ends_session", "credential"]),
        (LineCodec(), REAL_PROTOCOL.codec(), ["receive", "wake", "ack", "prepare", "launch", "end"]),
        (LineTerminal("1"), REAL_PROTOCOL.terminal("1"), ["connect", "receive", "report", "send", "heartbeat"]),
    ],
    ids=[
        "publisher",
        "routes",
        "directory",
        "marks",
        "depot",
        "book",
        "taps",
        "evidence",
        "protocol",
        "codec",
        "terminal",
    ],
)
def test_a_fake_takes_what_the_real_one_takes(fake: Any, real: Any, names: list[str]):
    for name in names:
        assert parameters(getattr(fake, name)) == parameters(getattr(real, name)), name
