"""What the load generator's devices say: JT/T 808, authenticated, each report one of its own."""

from __future__ import annotations

from collections.abc import Mapping

from bench.decode import LOCATION
from protocols.jt808.header import Header, frame, open_frame
from protocols.jt808.messages import LOCATION as LOCATION_ID
from protocols.jt808.terminal_management import AUTHENTICATE, HEARTBEAT
from protocols.message import Malformed

FIRST_DEVICE = 13900000000
_PHONE = "device:4:6:bcd"
_SEQUENCE = "sequence:10:2:be"
_CODE = "device:12:11:text"
"""A platform's own code is the phone number: such a terminal was registered before."""
_TIME = "time:34:6:bcd"
"""In a frame of 2013 without its marks: 12 bytes of header, 22 of a location's before its time."""


def _unframed(id: int, body: bytes) -> str:
    """Header and body in hex; the generator adds checksum, escapes and marks."""
    opened = open_frame(frame(Header(id, f"{FIRST_DEVICE:012}", 0), body)[1:-1])
    assert not isinstance(opened, Malformed)
    return b"".join(opened).hex()


_LINK: Mapping[str, object] = {
    "jt808": 1,
    "answer_marks": 2,
    "first_device": FIRST_DEVICE,
    "hello": _unframed(AUTHENTICATE, b"%d" % FIRST_DEVICE),
    "hello_put": _CODE,
}
LOCATIONS: Mapping[str, object] = {**_LINK, "report": _unframed(LOCATION_ID, LOCATION), "report_put": _TIME}
"""Options of the generator. The time of a device's report goes on by a second with each: no two of a run are one."""
HEARTBEATS: Mapping[str, object] = {**_LINK, "report": _unframed(HEARTBEAT, b"")}
PUTS = (_PHONE, _SEQUENCE)
"""Of both."""
