"""How channels stand, and what the command of that name lists and changes."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from store import readings as newest
from store.bulk import write
from store.limits import Beyond
from store.models import Channel, Device
from store.readings import readings
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("database_url")


def store(at: float, values: dict[str, Any], **fields: Any) -> bytes:
    """A report with these values; what it is recognised by."""
    one = report(f"{at}".encode(), NOON + minutes(at), values=values, **fields)
    write([incoming(one, identity="1", received_at=NOON + minutes(min(at, 60)))], is_open=anybody)
    return one.digest


def stand() -> dict[str, tuple[Any, Any]]:
    return {one.channel.name: (one.value, one.time and one.time - NOON) for one in readings(Device.objects.get())}


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    out = StringIO()
    call_command("channels", "fake", "1", *words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def run_json(*words: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(run(*words, "--json"))}


def test_each_value_is_as_old_as_the_report_it_is_from() -> None:
    store(0, {"a": 1, "b": 1}, speed_kmh=5.0)
    digest = store(2, {"a": 2})
    store(1, {"b": 9, "c": 1})
    assert stand() == {
        **{"a": (2, minutes(2)), "b": (9, minutes(1)), "c": (1, minutes(1)), "speed_kmh": (5.0, minutes(0))},
    }
    (a,) = (one for one in readings(Device.objects.get()) if one.channel.name == "a")
    assert (a.report_kind, a.report_digest) == ("location", digest)


def test_a_value_that_is_null_now_is_null() -> None:
    store(0, {"a": 1})
    store(1, {"a": None})
    assert stand() == {"a": (None, minutes(1))}


def test_a_clock_far_ahead_is_not_believed_here_either() -> None:
    store(0, {"a": 1})
    store(60 * 24 * 365, {"a": 2})
    assert stand() == {"a": (1, minutes(0))}


def test_what_the_newest_reports_do_not_have_is_in_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "REPORTS_READ", 2)
    store(0, {"a": 1}, speed_kmh=5.0, latitude=1.0, longitude=2.0)
    for at in (1, 2, 3):
        store(at, {"b": at})
    assert stand() == {"speed_kmh": (5.0, None), "a": (1, None), "b": (3, minutes(3))}
    row = run_json()["a"]
    assert (row["value"], row["time"], row["age"]) == (1, None, "older")


def test_channels_are_listed_with_unit_age_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    Device.objects.create(protocol="fake", identity="1")
    assert "no values" in run()
    time = timezone.now() - minutes(5)
    write([incoming(report(b"x", time, values={"zeta": 1, "battery_v": 11.5}), identity="1", received_at=time)], is_open=anybody)
    assert run("battery_v", "--low", "12", "--critical-low", "-1.5", "--label", "Pack \x00A") == "changed battery_v of fake 1\n"
    rows = run_json()
    # The catalogue's come first.
    assert list(rows) == ["battery_v", "zeta"]
    row = rows["battery_v"]
    assert (row["label"], row["unit"], row["value"], row["beyond"]) == ("Pack \ufffdA", "V", 11.5, "low")
    assert (row["low"], row["high"], row["critical_low"], row["critical_high"]) == (12, None, -1.5, None)
    assert (rows["zeta"]["beyond"], rows["zeta"]["kind"], rows["zeta"]["report_kind"]) == ("", "number", "location")
    table = run(capsys=capsys)
    for word in ("12 …, critical -1.5 …", "5 min", "low", "Pack", "11.5"):
        assert word in table
    assert list(run_json("zeta")) == ["zeta"]
    assert Channel.objects.get(name="battery_v").limits.low == 12
    assert {one.channel.name: one.beyond for one in readings(Device.objects.get())} == {"battery_v": Beyond.LOW, "zeta": None}


def test_what_is_set_stays_until_it_is_set_otherwise() -> None:
    store(0, {"a": 1, "b": 2, "c": 3})
    run("c", "--place", "-1", "--unit", "kg", "--high", "2", "--critical-high", "9")
    run("b", "--hide")
    store(1, {"a": 1, "b": 2, "c": 3})
    rows = run_json()
    assert list(rows) == ["c", "a"]
    assert (rows["c"]["unit"], rows["c"]["high"], rows["c"]["beyond"]) == ("kg", 2, "high")
    assert list(run_json("--all")) == ["c", "a", "b"]
    assert list(run_json("b")) == ["b"]
    run("c", "--place", "none", "--high", "none", "--unit", "")
    run("b", "--show")
    rows = run_json()
    assert list(rows) == ["a", "b", "c"]
    assert (rows["c"]["unit"], rows["c"]["limits"], rows["c"]["beyond"]) == ("", "critical … 9", "")
    assert Channel.objects.get(name="c").is_unit_set


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["none_such", "--high", "1"], "reported no none_such"),
        (["none_such"], "reported no none_such"),
        (["--high", "1"], "name the channel"),
        (["a", "--high", "1", "--low", "2"], "low is 2, above high"),
        (["a", "--high", "nan"], "finite"),
        (["a", "--high", "much"], "invalid number"),
        (["a", "--place", "9999999999"], "invalid number"),
        (["word", "--high", "1"], "no number but text"),
    ],
)
def test_what_cannot_be_set_is_said_and_nothing_changes(words: list[str], fault: str) -> None:
    store(0, {"a": 1, "word": "x"})
    before = list(Channel.objects.order_by("id").values())
    with pytest.raises(CommandError, match=fault):
        run(*words)
    assert list(Channel.objects.order_by("id").values()) == before


def test_an_unknown_device_is_said_to_be() -> None:
    with pytest.raises(CommandError, match="no device fake 1"):
        run()


def test_ages_are_told_in_the_largest_unit_that_fits() -> None:
    Device.objects.create(protocol="fake", identity="1")
    for name, age in (("s", 119), ("min", 7199), ("h", 2 * 86_400 - 1), ("d", 2 * 86_400)):
        time = timezone.now() - timedelta(seconds=age)
        write([incoming(report(name.encode(), time, values={name: 1}), identity="1", received_at=time)], is_open=anybody)
    assert {name: row["age"].split()[1] for name, row in run_json().items()} == {"s": "s", "min": "min", "h": "h", "d": "d"}
