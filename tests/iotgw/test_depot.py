"""What the workers are asked of files, and what of their answers is taken."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from iotgw.depot import ANSWER_SECONDS, WorkersDepot
from protocols import Offer
from tasks.contract import (
    NOTE_TASK,
    OFFERS_TASK,
    SLICE_BYTES,
    SLICE_TASK,
    BadPayloadError,
    DeliveryNote,
    Shelved,
)

OFFER = Offer(3, 5, 1000, 0xCBF43926, "firmware", "2.0", "", 0)
DEVICES = [("native", "a"), ("native", "b")]


class Asked(WorkersDepot):
    """A depot that answers itself what workers would."""

    def __init__(self, answer: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._answer = answer
        super().__init__(self._call)

    def _call(self, *arguments: Any, timeout_seconds: float) -> Deferred[Any]:
        self.calls.append(arguments)
        assert timeout_seconds == ANSWER_SECONDS
        return succeed(self._answer)


def got(asked: Deferred[Any]) -> Any:
    results: list[Any] = []
    asked.addBoth(results.append)
    return results[0]


def test_offers_are_those_of_the_devices_in_their_order() -> None:
    # As msgpack brings it.
    depot = Asked([None, [list(OFFER), "ab"]])
    assert got(depot.next_offers(DEVICES)) == [None, Shelved(OFFER, "ab")]
    assert depot.calls == [(OFFERS_TASK, [["native", "a"], ["native", "b"]])]


@pytest.mark.parametrize("answer", [None, [], [None], "no", [None, 5], [None, [[1], "ab"]], [None, ["ab"]]])
def test_an_answer_that_is_none_of_ours_is_a_failure(answer: Any) -> None:
    assert got(Asked(answer).next_offers(DEVICES)).check(BadPayloadError)


@pytest.mark.parametrize("answer", ["text", 5, bytes(SLICE_BYTES + 1)], ids=["text", "number", "too long"])
def test_a_slice_that_is_none_is_a_failure(answer: Any) -> None:
    assert got(Asked(answer).read_slice("ab", 0)).check(BadPayloadError)


def test_slices_and_notes_go_by_their_tasks() -> None:
    depot = Asked(b"bytes")
    assert got(depot.read_slice("ab", SLICE_BYTES)) == b"bytes"
    assert got(depot.note([DeliveryNote(3, 500, 1, "why")])) is None
    assert depot.calls == [(SLICE_TASK, "ab", SLICE_BYTES), (NOTE_TASK, [[3, 500, 1, "why"]])]
