"""GT06's messages, one row each.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1; JM-VL03 v1.1.2; forms of single vendors as they are seen.
"""

from __future__ import annotations

from protocols.gt06 import alarms, cells, information, positions, session, texts, transfers
from protocols.gt06.rows import MessageType

_CHAPTERS = (session, positions, cells, alarms, texts, information, transfers)

MESSAGES: dict[int, MessageType] = {row.id: row for chapter in _CHAPTERS for row in chapter.ROWS}
"""By kind: the type in the short form, 0x7900 and the type in the long one, 0x8000 more in a meaning of the platform's."""
