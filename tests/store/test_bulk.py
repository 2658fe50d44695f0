"""The writer: the same on every database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction

from protocols.message import Outcome
from protocols.report import DecodeError
from store.bulk import Incoming, write, writer
from store.models import Alarm, Device, Quarantine, Report, State
from tests.records import NOON, anybody, incoming, minutes, nobody, report

pytestmark = pytest.mark.usefixtures("database_url")


def test_a_report_is_stored_with_all_its_fields() -> None:
    sent = report(
        b"\x00raw\xff", latitude=31.5, longitude=-121.25, altitude_m=12.0, speed_kmh=62.5, course_deg=359.0,
        values={"odometer_km": 12.5, "ignition": True}, alarms=["sos"],
    )  # fmt: skip
    assert write([incoming(sent, received_at=NOON + minutes(1))], is_open=anybody) == {}
    row = Report.objects.select_related("device").get()
    assert (row.device.protocol, row.device.identity, row.device.is_enabled) == ("fake", "013800138000", True)
    assert (row.time, row.received_at) == (NOON, NOON + minutes(1))
    assert (row.kind, row.sequence, bytes(row.head), bytes(row.body)) == ("location", 7, b"head", b"\x00raw\xff")
    assert bytes(row.digest) == sent.digest
    assert (row.latitude, row.longitude, row.altitude_m, row.speed_kmh, row.course_deg) == (31.5, -121.25, 12.0, 62.5, 359.0)
    assert (row.values, row.alarms) == ({"odometer_km": 12.5, "ignition": True}, ["sos"])


def test_each_number_may_be_missing() -> None:
    names = ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg")
    sent = [{name: float(n) if n >> bit & 1 else None for bit, name in enumerate(names)} for n in range(2 ** len(names))]
    write([incoming(*(report(f"{n}".encode(), **numbers) for n, numbers in enumerate(sent)))], is_open=anybody)
    stored = {int(bytes(row.pop("body"))): row for row in Report.objects.values("body", *names)}
    assert stored == dict(enumerate(sent))


def test_a_batch_written_again_changes_nothing() -> None:
    error = DecodeError("truncated", "items[1]", "2 bytes are missing")
    batch = [
        incoming(report(b"1"), report(b"2", NOON + minutes(1), values={"a": 1})),
        incoming(report(b"3"), identity="2", error=error),
    ]
    expected = {1: Outcome.QUARANTINED}
    assert write(batch, is_open=anybody) == expected
    before = [list(model.objects.order_by("pk").values()) for model in (Device, Report, State, Quarantine)]
    assert write(batch, is_open=anybody) == expected
    assert [list(model.objects.order_by("pk").values()) for model in (Device, Report, State, Quarantine)] == before
    assert [len(rows) for rows in before] == [2, 3, 2, 1]


def test_a_report_sent_again_in_another_message_is_stored_once() -> None:
    write([incoming(report(), sequence=1)], is_open=anybody)
    write([incoming(report(), sequence=2, received_at=NOON + minutes(9)), incoming(report(), sequence=3)], is_open=anybody)
    assert Report.objects.get().sequence == 1


@pytest.mark.parametrize(
    "other",
    [
        incoming(report(time=NOON + minutes(1))),
        incoming(report(b"other")),
        incoming(report(kind="other")),
        incoming(report(), identity="2"),
    ],
)
def test_what_differs_in_time_bytes_kind_or_device_is_another_report(other: object) -> None:
    write([incoming(report()), other], is_open=anybody)  # type: ignore[list-item]
    assert Report.objects.count() == 2


def test_a_report_without_time_has_the_time_it_was_received() -> None:
    write([incoming(report(time=None), received_at=NOON + minutes(3))], is_open=anybody)
    assert Report.objects.get().time == NOON + minutes(3)


def test_a_message_without_reports_only_shows_that_its_device_is_there() -> None:
    assert write([incoming(body=b"")], is_open=anybody) == {}
    assert State.objects.get().last_seen == NOON
    assert not Report.objects.exists()
    assert not Quarantine.objects.exists()


def test_a_partly_decoded_message_gives_its_reports_and_is_quarantined() -> None:
    error = DecodeError("truncated", "items[1].length", "28 > 14 left")
    message = incoming(report(b"item"), error=error, body=b"item and more")
    assert write([message], is_open=anybody) == {0: Outcome.QUARANTINED}
    assert bytes(Report.objects.get().body) == b"item"
    row = Quarantine.objects.get()
    assert (row.kind, row.kind_id, row.sequence, bytes(row.head), bytes(row.body)) == (
        "location",
        0x0200,
        7,
        b"head",
        b"item and more",
    )
    assert (row.error_cause, row.error_path, row.error_text) == ("truncated", "items[1].length", "28 > 14 left")
    assert row.received_at == NOON


def test_known_admission_stores_nothing_of_unknown_devices() -> None:
    Device.objects.create(protocol="fake", identity="known")
    batch = [incoming(report(), identity="unknown"), incoming(report(), identity="known"), incoming(identity="unknown")]
    assert write(batch, is_open=nobody) == {0: Outcome.REFUSED, 2: Outcome.REFUSED}
    assert Device.objects.get().identity == "known"
    assert Report.objects.get().device.identity == "known"


@pytest.mark.parametrize("is_open", [anybody, nobody])
def test_a_disabled_device_is_refused_at_once_and_let_in_again(is_open: Callable[[str], bool]) -> None:
    write([incoming(report())], is_open=anybody)
    Device.objects.update(is_enabled=False)
    assert write([incoming(report(b"2"), received_at=NOON + minutes(9))], is_open=is_open) == {0: Outcome.REFUSED}
    assert Report.objects.count() == 1
    assert State.objects.get().last_seen == NOON
    Device.objects.update(is_enabled=True)
    assert write([incoming(report(b"2"))], is_open=is_open) == {}
    assert Report.objects.count() == 2


def test_a_deleted_device_comes_back_as_a_new_one() -> None:
    write([incoming(report())], is_open=anybody)
    first = Device.objects.get()
    first.delete()
    assert not Report.objects.exists()
    assert write([incoming(report())], is_open=nobody) == {0: Outcome.REFUSED}
    assert write([incoming(report())], is_open=anybody) == {}
    assert Report.objects.get().device_id != first.id


def test_the_same_identity_in_two_protocols_is_two_devices() -> None:
    write([incoming(report(), protocol="one"), incoming(report(), protocol="two")], is_open=anybody)
    assert Report.objects.values("device").distinct().count() == 2


def test_an_empty_batch_is_nothing() -> None:
    assert write([], is_open=anybody) == {}


def _of_many_devices() -> list[Incoming]:
    """Of each device something, of some much, and most of what there is."""
    error = DecodeError("cut", "", "")
    batch = []
    for number in range(12):
        sent = [
            report(f"{number} {part}".encode(), NOON + minutes(part), values={f"v{part}": number}) for part in range(1 + number % 3)
        ]
        if number % 4 == 1:
            sent.append(report(f"{number} alarm".encode(), NOON + minutes(4), alarms=["sos"]))
        batch.append(incoming(*sent, identity=f"{number}", error=error if number % 5 == 0 else None))
        batch.append(incoming(report(f"{number} more".encode()), identity=f"{number % 7}"))
    return batch


def _all_there_is() -> list[list[Any]]:
    order = ("device__identity", "digest")
    return [
        list(Report.objects.order_by(*order).values_list("device__identity", "digest", "values")),
        sorted((state.device.identity, state.time, str(state.values)) for state in State.objects.select_related("device")),
        list(Alarm.objects.order_by("device__identity").values_list("device__identity", "times", "is_ongoing")),
        list(Quarantine.objects.order_by(*order).values_list("device__identity", "digest")),
    ]


def test_in_parts_the_same_is_stored_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = write(_of_many_devices(), is_open=anybody)
    at_once = _all_there_is()
    Device.objects.all().delete()
    decoded: list[list[str]] = []

    def decode(part: Sequence[Incoming]) -> Sequence[Incoming]:
        decoded.append([sent.message.identity for sent in part])
        return part

    monkeypatch.setattr(writer, "SMALLEST_PART", 1)
    assert write(_of_many_devices(), decode, is_open=anybody) == outcomes
    assert _all_there_is() == at_once
    assert len(decoded) > 3
    assert not any(set(one) & set(other) for one, other in pairwise(decoded)), "a device is in two parts"
    assert write(_of_many_devices(), is_open=anybody) == outcomes
    assert _all_there_is() == at_once


def test_what_decoding_raises_comes_out_and_nothing_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(part: Sequence[Incoming]) -> Sequence[Incoming]:
        if decoded:
            raise RuntimeError("no more")
        decoded.append(part)
        return part

    decoded: list[Any] = []
    monkeypatch.setattr(writer, "SMALLEST_PART", 1)
    with pytest.raises(RuntimeError, match="no more"):
        write(_of_many_devices(), decode, is_open=anybody)
    assert Report.objects.count() == 0
    assert write(_of_many_devices(), is_open=anybody).keys() == {0, 10, 20}


def test_a_transaction_may_write_more_than_once() -> None:
    error = DecodeError("cut", "", "")
    with transaction.atomic():
        for at in range(3):
            told = [
                report(f"{at} {part}".encode(), NOON + minutes(at), alarms=["sos"] * part, values={"v": at}) for part in range(2)
            ]
            both = [incoming(told[0], identity="1"), incoming(*told, identity="2", error=error, body=b"%d" % at)]
            assert write(both, is_open=anybody) == {1: Outcome.QUARANTINED}
    assert (Report.objects.count(), Quarantine.objects.count(), Alarm.objects.count()) == (9, 3, 1)
    assert [state.values for state in State.objects.all()] == [{"v": 2}] * 2
