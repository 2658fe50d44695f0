"""What is stored of a report is enough to decode it again: the same report comes of it as came of its message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protocols import DeviceProtocol, Message
from protocols.declared import DeclaredProtocol
from protocols.registry import PROTOCOLS
from protocols.report import Report
from tests.protocols.captures import captures
from tests.protocols.declared_frames import WEIGHTS, each_frame, only, sealed
from tests.protocols.declared_samples import BETA

LEAST_REPORTS = 5
"""Of each protocol's captures."""


def messages(protocol: DeviceProtocol) -> Iterator[Message]:
    for capture in captures(protocol.name):
        codec = protocol.codec(capture.get("identity") or protocol.simulated_identity(0))
        yield from (event for event in codec.receive(capture["frame"], 0.0) if isinstance(event, Message))


def again(protocol: DeviceProtocol, message: Message, report: Report) -> Report:
    """From what a row of it keeps."""
    kept = Message(message.identity, 0, message.sequence, message.head, report.body)
    whole = protocol.whole_message(report.kind, kept)
    assert whole is not None, report.kind
    decoded = protocol.decode(whole)
    (one,) = decoded.reports
    return one


def but_for(report: Report, names: frozenset[str]) -> Report:
    # What it says of a command it says once, when it comes.
    report.answer = None
    report.values = {name: value for name, value in report.values.items() if name not in names}
    return report


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_a_report_of_a_capture_is_decoded_again_from_its_own_bytes(protocol: DeviceProtocol) -> None:
    told, count = protocol.told_beside_body, 0
    for message in messages(protocol):
        decoded = protocol.decode(message)
        for report in decoded.reports:
            assert but_for(again(protocol, message, report), told) == but_for(report, told)
            count += 1
    assert count >= LEAST_REPORTS


@each_frame
def test_a_declared_report_brings_what_its_header_told_and_a_record_cannot(protocol: DeclaredProtocol, frame: bytes) -> None:
    message = only(protocol, frame)
    for report in protocol.decode(message).reports:
        if frame == sealed(WEIGHTS):
            assert protocol.whole_message(report.kind, message._replace(body=report.body)) is None
        else:
            assert again(protocol, message, report) == report


def test_a_kind_that_no_message_has_any_more_makes_none() -> None:
    assert BETA.whole_message("gone", Message("1", 0, 0, b"", b"")) is None
