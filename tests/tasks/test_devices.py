"""What the database knows of a device, on real databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

from protocols.message import Message
from protocols.report import Decoded, DecodeError
from store.bulk import Incoming, write
from store.models import Device
from tasks import devices
from tasks.contract import REPLY_BYTES, Reply, pack_reply
from tasks.devices import summary
from tests.records import NOON, anybody, report

RECEIVED = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


EARLIER = timedelta(hours=1)


def said(kind: str, body: bytes, *, ago: timedelta = timedelta(), error: DecodeError | None = None) -> Incoming:
    reports = [] if error else [report(body, NOON - ago, latitude=1.0, longitude=2.0)]
    return Incoming("fake", Message("7", 0x0200, 1, b"", body), RECEIVED - ago, kind, Decoded(reports, error))


@pytest.mark.usefixtures("database_url")
class TestSummary:
    def test_of_one_that_was_never_seen(self) -> None:
        assert summary("fake", "7") == {"exists": False}

    def test_of_one_that_was_added_and_has_said_nothing(self) -> None:
        Device.objects.create(protocol="fake", identity="7", name="truck", is_enabled=False)
        told = summary("fake", "7")
        assert (told["exists"], told["name"], told["is_enabled"]) == (True, "truck", False)
        assert [told[key] for key in ("last_seen", "last_report", "last_dated", "quarantined", "last_quarantined")] == [
            None,
            None,
            None,
            0,
            None,
        ]

    def test_of_one_that_reports_and_is_not_always_understood(self) -> None:
        bad = DecodeError("truncated", "items[1]", "2 bytes are missing")
        write([said("location", b"good"), said("photo", b"bad", error=bad)], is_open=anybody)
        late = [said("heartbeat", b"before", ago=EARLIER), said("text", b"worse", ago=EARLIER, error=bad)]
        write(late, is_open=anybody)
        told = summary("fake", "7")
        assert told["last_seen"] == RECEIVED.isoformat()
        assert told["last_report"] == {"kind": "location", "time": NOON.isoformat(), "received_at": RECEIVED.isoformat()}
        assert told["last_dated"] == {**told["last_report"], "latitude": 1.0, "longitude": 2.0, "fix": None}
        assert told["quarantined"] == 2
        assert told["last_quarantined"] == {
            "kind": "photo",
            "received_at": RECEIVED.isoformat(),
            "cause": "truncated",
            "path": "items[1]",
        }
        assert len(pack_reply(Reply("call", told))) < REPLY_BYTES, "it can travel"
        assert summary("other", "7") == {"exists": False}

    def test_a_time_limit_leaves_no_connection_with_a_statement_on_its_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def late(*_: object) -> None:
            connection.ensure_connection()
            raise SoftTimeLimitExceeded

        monkeypatch.setattr(devices.queries, "device", late)
        with pytest.raises(SoftTimeLimitExceeded):
            summary("fake", "7")
        assert connection.connection is None

    @pytest.mark.parametrize("off", [timedelta(days=-1), timedelta(hours=8), timedelta(days=400)])
    def test_of_one_whose_clock_is_off_since_today(self, off: timedelta) -> None:
        write([said("location", b"before", ago=EARLIER)], is_open=anybody)
        wrong = report(b"now", NOON + off, latitude=0.0, longitude=0.0, values={"fix": False})
        write([Incoming("fake", Message("7", 0x0200, 2, b"", b"now"), RECEIVED, "location", Decoded([wrong]))], is_open=anybody)
        undated = Decoded([report(b"beat", None)])
        write([Incoming("fake", Message("7", 2, 3, b"", b"beat"), RECEIVED + EARLIER, "heartbeat", undated)], is_open=anybody)
        last = summary("fake", "7")["last_dated"]
        assert (last["time"], last["received_at"]) == ((NOON + off).isoformat(), RECEIVED.isoformat())
        assert (last["latitude"], last["fix"]) == (0.0, False)
