"""Beehive scales: delimited frames, one login a link, weights with a check byte."""

from __future__ import annotations

from construct import Int8ub, Int16sb, Int16ub, Struct

from protocols.checksum import xor
from protocols.declared import Answer, Check, DeclaredProtocol, Frame, Uplink
from protocols.fields import Scaled, Text, UnixTime
from protocols.framing import Escaping

BEEHIVE = DeclaredProtocol(
    name="beehive",
    title="Beehive scale",
    port=7200,
    frame=Frame(
        Struct("kind" / Int8ub * "Kind", "sequence" / Int8ub * "Number"),
        Check(xor, Int8ub * "All bytes by exclusive or"),
        flag=b"\x7e",
        escaping=Escaping(b"\x7d", b"\x7e", b"\x7d\x01", b"\x7d\x02"),
    ),
    messages=[
        Uplink(0x01, "hello", "Log-in", Struct("identity" / Text(8, "ascii") * "Serial number")),
        Uplink(
            0x02,
            "weight",
            "Weight of the hive",
            Struct(
                "time" / UnixTime() * "When",
                "weight_kg" / Scaled(Int16ub, 100, "kg") * "Weight",
                "brood_temperature_c" / Scaled(Int16sb, 10, "°C") * "Temperature of the brood",
            ),
        ),
    ],
    answer=Answer(0x80),
    login="hello",
)
