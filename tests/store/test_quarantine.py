"""What could not be read, in groups of what failed alike."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from protocols.report import DecodeError
from store import quarantine
from store.audit import Actor
from store.bulk import write
from store.models import Quarantine, QuarantineGroup
from store.quarantine import GroupKey
from tests.records import NOON, anybody, incoming, minutes

ME = Actor("me")

pytestmark = pytest.mark.usefixtures("database_url")


def store(*errors: tuple[str, str], identity: str = "1", at: float = 0, protocol: str = "fake") -> None:
    """A message for each error's cause and path."""
    batch = [
        incoming(
            error=DecodeError(cause, path, "28 > 14 left"),
            identity=identity,
            protocol=protocol,
            received_at=NOON + minutes(at),
            body=f"{at} {index}".encode(),
        )
        for index, (cause, path) in enumerate(errors)
    ]
    write(batch, is_open=anybody)


def listed(limit: int = 50) -> list[tuple[str, str, int, int, float, float]]:
    return [
        (
            *((one.group.cause, one.group.path) if one.group else ("", "")),
            one.messages,
            one.devices,
            (one.first_at - NOON) / minutes(1),
            (one.last_at - NOON) / minutes(1),
        )
        for one in quarantine.groups(limit)
    ]


def test_what_fails_at_one_place_is_one_group_whichever_entry_and_device_it_was() -> None:
    store(("truncated", "items[2].length"), ("truncated", "items[17].length"))
    store(("truncated", "items[0].length"), ("value", "items[0].length"), identity="2", at=5)
    store(("truncated", "a[1].b[22]"), at=1)
    assert listed() == [
        ("value", "items[].length", 1, 1, 5, 5),
        ("truncated", "items[].length", 3, 2, 0, 5),
        ("truncated", "a[].b[]", 1, 1, 1, 1),
    ]
    assert listed(limit=1) == listed()[:1]


def test_protocols_and_kinds_have_groups_of_their_own() -> None:
    store(("value", "x"))
    store(("value", "x"), protocol="other")
    assert sorted(QuarantineGroup.objects.values_list("protocol", "kind")) == [("fake", "location"), ("other", "location")]


def test_a_message_that_comes_again_counts_once() -> None:
    store(("value", "x"))
    store(("value", "x"))
    assert [row[2] for row in listed()] == [1]
    assert QuarantineGroup.objects.count() == 1


def test_a_long_path_is_cut_and_found_again() -> None:
    store(("value", "é" * 900), at=0)
    store(("value", "é" * 901), at=1)
    assert [(path, messages) for _, path, messages, *_ in listed()] == [("é" * 200, 2)]


def test_whoever_makes_up_kinds_fills_no_table_with_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST_GROUPS", 3)
    store(*(("value", f"field_{index}") for index in range(9)))
    store(("value", "one_more"), at=1)
    assert QuarantineGroup.objects.count() == 3
    assert Quarantine.objects.filter(group=None).count() == 7
    assert sorted(row[2] for row in listed()) == [1, 1, 1, 7]
    assert quarantine.adopt() == 0


def test_messages_without_a_group_are_given_theirs_when_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ROWS_AT_ONCE", 2)
    for at in range(5):
        store(("value", f"items[{at}]"), at=at)
    Quarantine.objects.update(group=None)
    QuarantineGroup.objects.all().delete()
    assert quarantine.adopt() == 5
    assert listed() == [("value", "items[]", 5, 1, 0, 4)]
    assert quarantine.adopt() == 0


def test_messages_that_get_no_group_are_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(quarantine, "MOST_ADOPTED", 8)
    store(("value", "x"))
    monkeypatch.setattr(quarantine, "MOST_GROUPS", 1)
    store(*(("value", f"field_{index}") for index in range(5)), at=1)
    store(("value", "x"), at=2)
    Quarantine.objects.update(group=None)
    assert quarantine.adopt() == 2


def test_what_an_older_release_writes_fits() -> None:
    store(("value", "x"))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO store_quarantine (device_id, kind, kind_id, sequence, head, body, digest, received_at, error_cause, "
            "error_path, error_text) SELECT device_id, kind, kind_id, 8, head, body, %s, received_at, error_cause, "
            "'', error_text FROM store_quarantine",
            [b"another"],
        )
    quarantine.adopt()
    assert sorted(path for _, path, *_ in listed()) == ["", "x"]


def test_what_is_discarded_is_gone_with_a_word_why_and_what_comes_later_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ROWS_AT_ONCE", 2)
    for at in range(5):
        store(("value", "x"), ("value", "y"), at=at)
    group = QuarantineGroup.objects.get(path="x")
    assert quarantine.discard(group.id, "ana", "a test bench", ME) == 5
    assert [row[1] for row in listed()] == ["y"]
    group.refresh_from_db()
    assert (group.discarded, group.discarded_by, group.reason) == (5, "ana", "a test bench")
    assert quarantine.discard(group.id, "bo", "nothing there", ME) == 0
    store(("value", "x"), at=9)
    assert [(path, messages) for _, path, messages, *_ in listed()] == [("x", 1), ("y", 5)]
    quarantine.discard(group.id, "ana", "again", ME)
    group.refresh_from_db()
    assert (group.discarded, group.reason) == (6, "again")
    with pytest.raises(QuarantineGroup.DoesNotExist):
        quarantine.discard(group.id + 99, "ana", "", ME)


def test_groups_that_two_make_at_once_are_made_once() -> None:
    key = GroupKey("fake", "location", "value", "x")
    with transaction.atomic():
        first = quarantine.group_ids([key, key])
    assert quarantine.group_ids([key]) == first == {key: QuarantineGroup.objects.get().id}
