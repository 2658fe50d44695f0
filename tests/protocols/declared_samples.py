"""Three declared protocols that have between them all that can be declared."""

from __future__ import annotations

from construct import Array, Bytes, Const, If, Int8ub, Int16sb, Int16ub, Int16ul, Int32sb, Int32ub, Struct, this

from protocols.checksum import crc16_modbus, xor
from protocols.declared import Answer, Answered, Check, DeclaredProtocol, Downlink, Frame, Uplink
from protocols.fields import BCD, BcdTime, Bit, Choice, Count, Flags, Measured, Option, Scaled, Secret, Text, UnixTime
from protocols.framing import Escaping
from protocols.items import Items, Records, UntilEnd
from protocols.message import Outcome

RESULT = Choice(Int8ub, {0: Option("stored", "Stored"), 1: Option("refused", "Not known"), 2: Option("kept", "Kept")})
EMPTY = Struct()

# Counted frames with mark and stop; who and when in the header; an answer that tells result and time.
ALPHA = DeclaredProtocol(
    name="alpha",
    title="Alpha",
    port=7101,
    frame=Frame(
        Struct(
            "mark" / Const(b"AL") * "Mark",
            "length" / Int16ul * "Bytes of body and check",
            "identity" / BCD(4) * "Number 编号",
            "sequence" / Int8ub * "Sequence",
            "time" / UnixTime() * "When",
            "signal" / Int8ub * "Signal",
            "kind" / Int8ub * "Kind",
        ),
        Check(crc16_modbus, Int16ul * "CRC-16", since="length"),
        counts="body and check",
        stop=b"\r\n",
        limit=200,
    ),
    messages=[
        Uplink(
            0x02,
            "level",
            "Water level 水位",
            Struct(
                "level_m" / Scaled(Int16sb, 1000, "m") * "Level",
                "flow" / Measured(Int8ub, 10, "m/s") * "Flow",
                "status" / Flags(Int8ub, {0: Bit("ignition", "On"), 1: Bit("mode", "Mode", 2)}) * "Status",
                "alarms" / Flags(Int8ub, {0: Bit("high_water", "High"), 7: Bit("power_low", "Low")}) * "Alarms",
                "items" / Items({1: ("battery_v" / Scaled(Int8ub, 10, "V") * "Battery",)}) * "Items",
            ),
        ),
        Uplink(0x04, "photo_taken", "A photo was taken", Struct("size_bytes" / Scaled(Int32ub, 1, "bytes") * "Size"), answer=False),
    ],
    answer=Answer(
        0x81,
        Struct("result" / RESULT * "Result", "time" / UnixTime() * "Now"),
        {
            "result": {Outcome.STORED: "stored", Outcome.REFUSED: "refused", Outcome.QUARANTINED: "kept"},
            "time": Answered.TIME,
        },
    ),
)

_POINT = Struct("time" / BcdTime(8) * "When", "weight_kg" / Scaled(Int16ub, 100, "kg") * "Weight")

# Delimited frames; one login says who; no sequences; answers of the message's own kind; several reports in a message.
BETA = DeclaredProtocol(
    name="beta",
    title="Beta",
    port=7102,
    frame=Frame(
        Struct("kind" / Int8ub * "Kind", "version" / Const(1, Int8ub) * "Version"),
        Check(xor, Int8ub * "All bytes by exclusive or"),
        flag=b"\x7e",
        escaping=Escaping(b"\x7d", b"\x7e", b"\x7d\x01", b"\x7d\x02"),
        limit=300,
    ),
    messages=[
        Uplink(
            0x01, "hello", "Log-in", Struct("identity" / Text(6, "ascii") * "Serial", "password" / Secret(Text(4)) * "Password")
        ),
        Uplink(
            0x02,
            "weights",
            "Weights",
            Struct("hive" / Int8ub * "Hive", "records" / UntilEnd(_POINT) * "Measurements"),
        ),
        Uplink(0x03, "alive", "Heartbeat"),
        Uplink(0x04, "goodbye", "Switched off", ends_session=True),
        Uplink(0x06, "tared", "Tared"),
        Downlink(0x05, "tare", "Tare", Struct("hive" / Int8ub * "Hive"), answered_by=("tared",)),
    ],
    answer=Answer(None, Struct("result" / RESULT * "Result"), {"result": {Outcome.STORED: "stored", Outcome.REFUSED: "refused"}}),
    login="hello",
    heartbeat="alive",
    heartbeat_seconds=30.0,
)

_FIX = Struct(
    "time" / UnixTime(Int32ub) * "When",
    "status" / Flags(Int8ub, {0: Bit("fix", "Position fix"), 1: Bit("moving", "Moving")}) * "Status",
    "latitude" / Scaled(Int32sb, 10_000_000, "°") * "Latitude",
    "longitude" / Scaled(Int32sb, 10_000_000, "°") * "Longitude",
    "altitude_m" / Scaled(Int16sb, 1, "m") * "Altitude",
    "speed_kmh" / Scaled(Int8ub, 1, "km/h") * "Speed",
    "course_deg" / Scaled(Int16ub, 1, "°") * "Course",
    "odometer_km" / Scaled(Int32ub, 10, "km") * "Odometer",
)

# Frames that begin with their length, and differ by direction; the answer repeats sequence and kind in its body.
GAMMA = DeclaredProtocol(
    name="gamma",
    title="Gamma",
    port=7103,
    frame=Frame(
        Struct(
            "length" / Int16ub * "Bytes behind",
            "identity" / Bytes(6) * "MAC",
            "sequence" / Int16ub * "Sequence",
            "kind" / Int8ub * "Kind",
        ),
        Check(sum, Int8ub * "Sum", since="body"),
        counts="rest",
        limit=400,
    ),
    down_frame=Frame(
        Struct("mark" / Const(b"\xaa\x55") * "Mark", "kind" / Int8ub * "Kind", "length" / Int8ub * "Bytes of the frame"),
        counts="frame",
        limit=200,
    ),
    messages=[
        Uplink(0x10, "position", "Position", _FIX),
        Uplink(0x11, "history", "Positions kept", Struct("records" / Records(_FIX, ">B") * "Positions")),
        Uplink(
            0x12,
            "wheels",
            "Wheels",
            Struct(
                "count" / Count(Int8ub, "pressures") * "How many",
                "pressures" / Array(this.count, Scaled(Int8ub, 10, "kPa")) * "Pressures",
                "has_note" / Int8ub * "Note there",
                "note" / If(this.has_note == 1, Text(4)) * "Note",
            ),
        ),
    ],
    answer=Answer(
        0x90,
        Struct("sequence" / Int16ub * "Of the message", "kind" / Int8ub * "Of the message"),
        {"sequence": Answered.SEQUENCE, "kind": Answered.KIND},
    ),
)

SAMPLES = (ALPHA, BETA, GAMMA)
