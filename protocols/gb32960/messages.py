"""The table of GB/T 32960.3's messages, and which layout a body has.

Source: GB/T 32960.3-2016, section 6.3 and annex B; GB/T 32960.3-2025, section 6.3 and annex B.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType

from construct import Struct

from protocols.gb32960 import control, parameters, session
from protocols.gb32960.bodies_2016 import REPORT_2016
from protocols.gb32960.bodies_2025 import REPORT_2025
from protocols.gb32960.header import ANSWER, SUCCESS, edition, kind_of
from protocols.gb32960.rows import ANSWERED, EMPTY, TIME_BYTES, Answer, uplink
from protocols.rows import MessageType

REPORT = 0x02
REISSUE = 0x03

_REPORTS = {"2016": REPORT_2016, "2025": REPORT_2025}
_ROWS = (
    session.ROWS[0],
    uplink(REPORT, "report", "Real-time report", "实时信息上报", _REPORTS),
    uplink(REISSUE, "reissue", "Reissue report", "补发信息上报", _REPORTS),
    *session.ROWS[1:],
    *parameters.ROWS,
    *control.ROWS,
)
MESSAGES = MappingProxyType({row.id: row for row in _ROWS})


def layout_of(head: bytes, body: bytes) -> tuple[MessageType | None, Struct | None]:
    """A message's row and the layout its body has; None where its edition has no such message."""
    row, year = MESSAGES.get(kind_of(head)), edition(head)
    if not kind_of(head) & ANSWER:
        return row, row.layouts.get(year) if row else None
    if row and year in row.layouts and head[3] == SUCCESS and len(body) > TIME_BYTES:
        return row, row.layouts[year]
    if row and year in row.layouts and f"{year} empty" not in row.layouts:
        return row, row.layouts[year]
    return row, ANSWERED if len(body) >= TIME_BYTES else EMPTY


def answer_to(kind: int) -> Enum:
    """How a message is answered; those in no table like those that are."""
    row = MESSAGES.get(kind)
    return row.answer if row else Answer.TIME
