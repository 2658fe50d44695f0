"""What a device's messages say of commands: by their place in the table, and by the names of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from construct import Struct

from protocols.command import Answer, AnswersName, AnswerStatus
from protocols.compiler.structure import bare
from protocols.fields import Choice
from protocols.protocol import MessageRow
from protocols.rows import Direction

SEQUENCE, KIND, RESULT = "answered_sequence", "answered_kind", "result"
"""Fields that mean something in an answer: which command it is to, and how that went."""
DONE = frozenset({"success", "done", "ok", "stored", "accepted"})
"""Words of a result that say so; of a plain number 0 does, and nothing where there is no result."""


class Outcomes:
    """The answers that a table of messages knows."""

    def __init__(self, messages: Mapping[int, MessageRow]) -> None:
        asked = {row.id: row.answered_by for row in messages.values() if row.direction is Direction.DOWN and row.answered_by}
        self.asked = {kind: tuple(id for id in asked if kind in asked[id]) for kind in messages}
        """Which commands a message may answer; most none."""
        self._last = {answers[-1] for answers in asked.values()}
        names = [_names(messages[kind]) for kind in messages if self.asked[kind]]
        self.answers_name = AnswersName.NOTHING
        if names and all(SEQUENCE in fields for fields in names):
            self.answers_name = AnswersName.SEQUENCE
        elif names and all(KIND in _names(messages[kind]) for kind, asked_by in self.asked.items() if len(asked_by) > 1):
            self.answers_name = AnswersName.KIND

    def answer_of(self, kind: int, parsed: Mapping[str, Any]) -> Answer | None:
        """What a message says of commands; None if it says nothing of any."""
        kinds = self.asked[kind]
        if isinstance(told := parsed.get(KIND), int):
            kinds = (told,) if told in kinds else ()
        if not kinds:
            return None
        sequence, result = parsed.get(SEQUENCE), parsed.get(RESULT)
        number = sequence if isinstance(sequence, int) else None
        if result is None or result in DONE or (isinstance(result, int) and result == 0):
            return Answer(kinds, AnswerStatus.DONE if kind in self._last else AnswerStatus.ACCEPTED, number)
        return Answer(kinds, AnswerStatus.FAILED, number, result if isinstance(result, str) else f"result_{result}")


def good_answer(layout: Struct, kind: int, sequence: int) -> dict[str, Any]:
    """What a device that has done as it was told says in these fields, as far as its answer has them."""
    words = next((bare(field) for field in layout.subcons if field.name == RESULT), None)
    options = [option.name for option in words.options.values()] if isinstance(words, Choice) else []
    return {SEQUENCE: sequence, KIND: kind, RESULT: next((word for word in options if word in DONE), 0)}


def _names(row: MessageRow) -> set[str | None]:
    return {field.name for layout in row.layouts.values() for field in layout.subcons}
