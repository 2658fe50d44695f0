"""Channels are there from a device's first value on, and cost a batch without news nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from protocols.catalogue import Entry
from protocols.report import Report
from store import channels
from store.bulk import write
from store.channels import MOST_CHANNELS, KnownChannels
from store.models import Channel, Device
from store.models import Report as StoredReport
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("database_url")

WORDS = {("fake", "level"): Entry("%", "Level", "液位")}


@pytest.fixture
def known() -> KnownChannels:
    return KnownChannels(lambda protocol, name: WORDS.get((protocol, name), Entry("", "", "")))


def store(known: KnownChannels, *values: dict[str, Any], identity: str = "1", at: float = 0, **fields: Any) -> None:
    """Reports with these values, in one message."""
    reports = [report(f"{at} {index}".encode(), NOON + minutes(at), values=one, **fields) for index, one in enumerate(values)]
    write([incoming(*reports, identity=identity)], is_open=anybody, channels=known)


def stored(*columns: str, identity: str = "1") -> list[Any]:
    return list(Channel.objects.filter(device__identity=identity).order_by("id").values_list(*columns, flat=len(columns) == 1))


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of the table of channels meanwhile."""
    asked: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        if "store_channel" in sql:
            asked.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        yield asked


def test_each_name_becomes_a_channel_with_what_is_known_of_it(known: KnownChannels) -> None:
    store(known, {"level": 7, "door": False, "plate": "京A", "cells": [3.3], "nothing": None}, speed_kmh=5.0)
    store(known, {"level": 8, "mood": "good"}, at=1)
    assert stored("name", "kind", "unit", "english", "chinese") == [
        ("speed_kmh", "number", "", "", ""),
        ("level", "number", "%", "Level", "液位"),
        ("door", "boolean", "", "", ""),
        ("plate", "text", "", "", ""),
        ("cells", "structure", "", "", ""),
        ("mood", "text", "", "", ""),
    ]


def test_a_word_for_a_broken_sensor_makes_no_text_of_a_number(known: KnownChannels) -> None:
    store(known, {"level": "not_found"})
    assert stored("kind") == ["number"]


def test_a_value_that_was_null_becomes_a_channel_when_there_is_one(known: KnownChannels) -> None:
    store(known, {"level": None})
    assert stored("name") == []
    store(known, {"level": 3}, at=1)
    assert stored("name") == ["level"]


@pytest.mark.parametrize("measure", ["speed_kmh", "altitude_m", "course_deg"])
def test_what_a_report_has_a_place_for_is_a_channel_too(known: KnownChannels, measure: str) -> None:
    store(known, {"level": 1})
    store(known, {"level": 1}, at=1, **{measure: 0.0})
    assert stored("name") == ["level", measure]


def test_what_was_seen_is_not_asked_for_again(known: KnownChannels) -> None:
    store(known, {"level": 1, "door": True}, speed_kmh=1.0)
    with statements() as asked:
        store(known, {"level": 2}, at=1, speed_kmh=1.0)
        store(known, {"door": True, "gone": None}, at=2)
    assert asked == []
    with statements() as asked:
        store(known, {"level": 2}, at=3, identity="2")
    assert len(asked) == 2
    assert stored("name", identity="2") == ["level"]


def test_another_process_finds_what_the_first_has_stored(known: KnownChannels) -> None:
    store(known, {"level": 1})
    Channel.objects.update(label="Tank", high=5)
    store(KnownChannels(), {"level": 2, "door": True}, at=1)
    assert stored("name", "label", "high", "unit") == [("level", "Tank", 5, "%"), ("door", "", None, "")]


def test_what_was_not_committed_is_not_remembered(known: KnownChannels) -> None:
    with transaction.atomic():
        store(known, {"level": 1})
        transaction.set_rollback(True)
    assert stored("name") == []
    store(known, {"level": 1})
    assert stored("name") == ["level"]


def test_what_is_forgotten_is_looked_up_and_stays_as_it_is(known: KnownChannels) -> None:
    store(known, {"level": 1})
    Channel.objects.all().delete()
    store(known, {"level": 1}, at=1)
    assert stored("name") == []
    known.forget()
    store(known, {"level": 1}, at=2)
    assert stored("name") == ["level"]


def test_a_device_says_what_its_own_channels_are_measured_in_until_somebody_else_does(known: KnownChannels) -> None:
    def tell(unit: str, at: float) -> None:
        told = Report("reading", f"{at}".encode(), NOON + minutes(at), values={"weight": 1}, units={"weight": unit})
        write([incoming(told, identity="1")], is_open=anybody, channels=known)

    tell("kg", 0)
    assert stored("unit") == ["kg"]
    tell("斤" + "x" * 99, 1)
    assert stored("unit") == [("斤" + "x" * 99)[:32]]
    tell("kg", 2)
    assert stored("unit") == ["kg"]
    Channel.objects.update(unit="t", is_unit_set=True)
    tell("g", 3)
    known.forget()
    tell("g", 4)
    assert stored("unit", "name") == [("t", "weight")]


def test_a_device_that_makes_up_names_keeps_so_many_and_is_told_of_once(
    known: KnownChannels, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for at in range(4):
            store(known, {f"name_{at}_{index}": index for index in range(200)}, at=at)
        with statements() as asked:
            store(known, {"one_more": 1}, at=9)
    assert Channel.objects.count() == MOST_CHANNELS
    assert [record.getMessage() for record in caplog.records] == ["a device has more channels than are kept"]
    assert asked == []
    assert StoredReport.objects.count() == 5
    store(known, {"level": 1}, identity="2")
    assert stored("name", identity="2") == ["level"]


def test_a_name_that_fits_no_column_stays_in_its_report(known: KnownChannels) -> None:
    store(known, {"n" * 65: 1, "": 2, "n" * 64: 3, "a\0b": 4})
    assert stored("name") == ["n" * 64, "a\ufffdb"]
    assert "n" * 65 in StoredReport.objects.get().values


def test_what_is_remembered_is_bounded(known: KnownChannels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MOST_DEVICES", 3)
    for number in range(9):
        store(known, {"level": 1}, identity=f"{number}")
        assert len(known._told) <= 3
    monkeypatch.setattr(channels, "MOST_NAMES", 30)
    for number in range(9):
        store(known, {f"{number} {index}": 1 for index in range(10)}, identity="x")
        assert sum(map(len, known._shapes)) <= 30 + 10 * 9
    assert Channel.objects.filter(device__identity="x").count() == 90


def test_channels_go_with_their_device(known: KnownChannels) -> None:
    store(known, {"level": 1})
    Device.objects.all().delete()
    assert not Channel.objects.exists()
    store(known, {"level": 1}, at=1)
    assert stored("name") == ["level"]
