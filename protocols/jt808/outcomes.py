"""What terminals say of the platform's messages.

    terminal                                    platform
      ◀────────────── 0x8801 camera shot (n) ────
      ── 0x0001 (n, 0x8801, success) ───────────▶  accepted: 0x0805 is to come
      ── 0x0805 (n, success, media) ────────────▶  done

Source: JT/T 808-2013 and JT/T 808-2019, 8.1 and the answers of single messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.command import Answer, AnswerStatus
from protocols.jt808.messages import MESSAGES, MULTIMEDIA_DATA
from protocols.jt808.multimedia import CAMERA_SHOT
from protocols.jt808.rows import TERMINAL_GENERAL_RESPONSE
from protocols.jt808.terminal_management import UPGRADE_PACKAGE
from protocols.rows import Direction

_ASKED = [row for row in MESSAGES.values() if row.direction is Direction.DOWN and row.id != UPGRADE_PACKAGE]
_ANSWERED: dict[int, tuple[int, ...]] = {
    id: tuple(row.id for row in _ASKED if id in row.answered_by)
    for id in {id for row in _ASKED for id in row.answered_by} - {TERMINAL_GENERAL_RESPONSE}
}
"""What may be answered, by the message that answers; the general response says it itself."""
_LAST = {kind for kinds in _ANSWERED.values() for kind in kinds}
"""Messages that have more than a general response for an answer."""
_SUCCESS = ("success", "alarm_confirmed")


def answer_of(kind: int, parsed: Mapping[str, Any]) -> Answer | None:
    """What a message says of one of the platform's; None if it says nothing of any."""
    if kind == TERMINAL_GENERAL_RESPONSE:
        answered = parsed["answered_kind"]
        done = AnswerStatus.ACCEPTED if answered in _LAST else AnswerStatus.DONE
        return _told((answered,), parsed, done)
    kinds = _ANSWERED.get(kind)
    if kinds is None:
        return None
    if kind == MULTIMEDIA_DATA and parsed["event"] == "platform_command":
        # Terminals before 2013 tell of a shot by its picture alone.
        kinds = (*kinds, CAMERA_SHOT)
    return _told(kinds, parsed, AnswerStatus.DONE)


def _told(kinds: tuple[int, ...], parsed: Mapping[str, Any], done: AnswerStatus) -> Answer:
    result, sequence = parsed.get("result", "success"), parsed.get("answered_sequence")
    if result in _SUCCESS:
        return Answer(kinds, done, sequence)
    return Answer(kinds, AnswerStatus.FAILED, sequence, result if isinstance(result, str) else f"result_{result}")
