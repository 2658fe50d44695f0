"""Lists of devices, page by page, by group, tag and text."""

from __future__ import annotations

import json
import logging
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from store import devices, fleet, groups, search, triggers
from store.audit import Actor
from store.bulk import write
from store.fleet import BadKeyError, Order, Wanted
from store.json_text import plain_text
from store.models import Device, Presence, State, Tag
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("database_url")
ANA = Actor("ana")
ALL = Wanted()


def made(*identities: str, **fields: Any) -> list[Device]:
    return Device.objects.bulk_create([Device(protocol="fake", identity=identity, **fields) for identity in identities])


def seen(identity: str, at: float) -> None:
    write([incoming(report(f"{at}".encode()), identity=identity, received_at=NOON + minutes(at))], is_open=anybody)


def listed(wanted: Wanted = ALL, order: Order = Order.SEEN, limit: int = 50) -> list[str]:
    """Whom the pages have, one after another."""
    found: list[str] = []
    after = ""
    while True:
        page = fleet.page(wanted, order, after, limit)
        assert len(page.rows) <= limit
        found += [row.device.identity for row in page.rows]
        after = page.next_key
        if not after:
            return found


def found(text: str) -> set[str]:
    return set(listed(Wanted(text=text)))


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_have_each_device_once_the_last_seen_first_and_those_never_seen_at_the_end(limit: int) -> None:
    made("never 1", "never 2", "never 3")
    for identity, at in (("a", 1), ("b", 3), ("c", 2), ("d", 2)):
        seen(identity, at)
    assert listed(limit=limit) == ["b", "d", "c", "a", "never 3", "never 2", "never 1"]


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_pages_by_name_have_each_device_once(limit: int) -> None:
    made("1", "2", name="pump")
    made("3", name="ant")
    made("4", "5")
    assert listed(order=Order.NAME, limit=limit) == ["4", "5", "3", "1", "2"]


def test_what_changes_between_two_pages_shifts_nothing() -> None:
    for number in range(6):
        seen(f"{number}", number)
    first = fleet.page(ALL, limit=2)
    seen("0", 60)
    seen("new", 61)
    Device.objects.get(identity="5").delete()
    second = fleet.page(ALL, after=first.next_key, limit=2)
    assert [row.device.identity for page in (first, second) for row in page.rows] == ["5", "4", "3", "2"]


def test_a_row_s_key_leads_behind_it() -> None:
    for number in range(4):
        seen(f"{number}", number)
    rows = fleet.page(ALL).rows
    assert [row.device.identity for row in fleet.page(ALL, after=rows[1].key).rows] == ["1", "0"]


@pytest.mark.parametrize("key", ["x", "", "é", "W10", "bnVsbA", "A" * 5_000])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    made("1")
    by_name = fleet.page(ALL, Order.NAME).rows[0].key
    for bad, order in ((key or by_name, Order.SEEN),):
        with pytest.raises(BadKeyError):
            fleet.page(ALL, order, bad)
        with pytest.raises(CommandError, match="no key"):
            run("devices", "--after", bad)


@pytest.mark.parametrize(
    "told", [["seen", "2026", 1 << 70], ["seen", 5, 1], ["seen", "0001-01-01T00:00:00+23:00", 1], ["seen", None, 0]]
)
def test_a_key_that_somebody_made_is_refused(told: list[Any]) -> None:
    with pytest.raises(BadKeyError):
        fleet.page(ALL, after=fleet.urlsafe_b64encode(json.dumps(told).encode()).decode())


@pytest.mark.parametrize("order", Order)
def test_groups_are_meant_with_what_is_below_them(order: Order) -> None:
    groups.ensure(["A/B/C", "D"], ANA)
    for identity, title in (("1", "A"), ("2", "A/B"), ("3", "A/B/C"), ("4", "D")):
        made(identity, group=groups.find(title))
    made("5")

    def of(*titles: str) -> set[str]:
        return set(listed(Wanted([groups.find(title) for title in titles]), order, limit=1))

    assert of("A") == {"1", "2", "3"}
    assert of("A/B", "D") == {"2", "3", "4"}
    assert of("A/B/C") == {"3"}
    assert of() == set(), "whoever may see no group sees no device"
    groups.move("A/B", "D", ANA)
    devices.move("fake", "5", "A", ANA)
    assert of("A") == {"1", "5"}
    assert of("D") == {"2", "3", "4"}


@pytest.mark.parametrize("few", [fleet.FEW, 0], ids=["looked up first", "met on the way"])
@pytest.mark.parametrize("order", Order)
def test_all_that_is_wanted_holds(few: int, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "FEW", few)
    groups.ensure(["A"], ANA)
    made("13800001", "13800002", "13800003", "13900004", group=groups.find("A"))
    made("13800005", name="Kühlwagen")
    for identity, *words in (
        ("13800001", "cold"),
        ("13800002", "cold", "leased"),
        ("13900004", "cold", "leased"),
        ("13800005", "cold"),
    ):
        devices.tag("fake", identity, words, [], ANA)
    devices.set_enabled("fake", "13800001", False, ANA)
    in_a = [groups.find("A")]
    for wanted, expected in (
        (Wanted(tags=["cold"]), {"13800001", "13800002", "13900004", "13800005"}),
        (Wanted(tags=["Cold", "leased"]), {"13800002", "13900004"}),
        (Wanted(text="13800"), {"13800001", "13800002", "13800003", "13800005"}),
        (Wanted(text="hlwag"), {"13800005"}),
        (Wanted(text="13"), {"13800001", "13800002", "13800003", "13900004", "13800005"}),
        (Wanted(text="38"), set()),
        (Wanted(text="kÜ"), {"13800005"} if connection.vendor == "postgresql" else set()),
        (Wanted(in_a, ["cold"], "13800"), {"13800001", "13800002"}),
        (Wanted(in_a, ["cold"], "13800", is_enabled=True), {"13800002"}),
        (Wanted(is_enabled=False), {"13800001"}),
        (Wanted(tags=["unknown"]), set()),
    ):
        assert set(listed(wanted, order, limit=2)) == expected, wanted


@pytest.mark.parametrize("text", ["%", "___", "%%%", '"""', "a OR b", "name:x", "NEAR(", "' OR 1", "\x00\x00\x00", "*", "  "])
def test_a_text_is_looked_for_as_it_is(text: str) -> None:
    made("plain", "13800138000")
    made("odd", name=f"<{plain_text(text)}>")
    assert found(text) == ({"odd"} if len(text.strip()) >= 3 else set() if text.strip() else {"plain", "13800138000", "odd"})


def test_search_follows_the_devices() -> None:
    (device,) = made("13800138000", name="Pump 7")
    assert found("pump") == found("0138") == {"13800138000"}
    Device.objects.update(name="Ventil 8")
    assert (found("pump"), found("ventil")) == (set(), {"13800138000"})
    write([incoming(report(), identity="by the writer")], is_open=anybody)
    assert found("e WRI") == {"by the writer"}
    device.delete()
    assert found("ventil") == set()


def test_search_is_right_again_after_a_migration_without_triggers() -> None:
    triggers.drop()
    made("13800138000")
    Device.objects.update(name="Pump 7")
    call_command("migrate", verbosity=0)
    assert found("pump") == {"13800138000"}
    Device.objects.update(name="Ventil 8")
    assert found("pump") == set()


def test_search_goes_by_an_index() -> None:
    Device.objects.bulk_create(
        [Device(protocol="fake", identity=f"{number:011}", name=f"Pump {number}") for number in range(3_000)]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if connection.vendor == "postgresql":
            cursor.execute("SET enable_seqscan = off")  # so few rows would be read one after another
    with CaptureQueriesContext(connection) as asked:
        assert found("0002717") == {"00000002717"}
    plan = "\n".join(_plan(query["sql"]) for query in asked.captured_queries if "1001" in query["sql"])
    assert (search.INDEX if connection.vendor == "postgresql" else "VIRTUAL TABLE") in plan


def _plan(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(("EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN ") + sql.replace("%", "%%"), [])
        return "\n".join(str(row) for row in cursor.fetchall())


def test_without_trigrams_search_works_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    triggers.drop()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {search.INDEX}" if connection.vendor == "postgresql" else f"DROP TABLE {search.WORDS}")
    statements = (
        ("CREATE EXTENSION no_such_extension",)
        if connection.vendor == "postgresql"
        else ("CREATE VIRTUAL TABLE x USING no_such_module",)
    )
    for name in ("_POSTGRESQL", "_SQLITE"):
        monkeypatch.setattr(search, name, statements)
    with caplog.at_level(logging.WARNING):
        call_command("migrate", verbosity=0)
    assert len([record for record in caplog.records if "without an index" in record.message]) == 1
    made("13800138000", name="Pump 7")
    assert found("pump") == {"13800138000"}
    Device.objects.update(name="Ventil 8")
    assert found("pump") == set()
    Device.objects.get().delete()
    monkeypatch.undo()
    made("13800138000", name="Pump 9")
    call_command("migrate", verbosity=0)
    assert search.is_prepared()
    assert found("pump") == {"13800138000"}


def test_the_command_lists_what_is_wanted() -> None:
    groups.ensure(["North/Plant"], ANA)
    made("13800138000", "13800138001", group=groups.find("North/Plant"))
    made("13800138002")
    devices.tag("fake", "13800138000", ["cold", "leased"], [], ANA)
    words = ("devices", "--group", "North", "--tag", "cold", "--search", "1380", "--json")
    (row,) = json.loads(run(*words))
    assert (row["identity"], row["group"], row["tags"]) == ("13800138000", "North/Plant", ["cold", "leased"])
    everybody = json.loads(run("devices", "--json", "--order", "name"))
    assert [(row["identity"], row["group"], row["tags"]) for row in everybody[1:]] == [
        ("13800138001", "North/Plant", []), ("13800138002", "", []),
    ]  # fmt: skip
    devices.set_enabled("fake", "13800138001", False, ANA)
    assert [row["identity"] for row in json.loads(run("devices", "--disabled", "--json"))] == ["13800138001"]
    with pytest.raises(CommandError, match="no group South"):
        run("devices", "--group", "South")


@pytest.mark.parametrize("order", Order)
def test_who_is_online_is_told_by_presence(order: Order) -> None:
    here, gone, _ = made("here", "gone", "never")
    times = {"since": NOON, "gateway": "a", "run": "r", "epoch": 1}
    for device, is_online in ((here, True), (gone, False)):
        Presence.objects.create(device=device, is_online=is_online, **times)
    assert set(listed(Wanted(is_online=True), order, 1)) == {"here"}
    assert set(listed(Wanted(is_online=False), order, 1)) == {"gone", "never"}
    assert [row["identity"] for row in json.loads(run("devices", "--online", "--json"))] == ["here"]
    assert len(json.loads(run("devices", "--offline", "--json"))) == 2


def test_a_list_of_all_goes_through_pages_and_asks_no_more_for_many_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    made(*(f"{number}" for number in range(25)))
    monkeypatch.setattr(fleet, "ROWS_A_PAGE", 10)
    assert [len(page.rows) for page in fleet.pages(ALL)] == [10, 10, 5]
    assert [len(page.rows) for page in fleet.pages(ALL, limit=12)] == [10, 2]
    Tag.objects.bulk_create([Tag(device=device, word="x") for device in Device.objects.all()])
    with CaptureQueriesContext(connection) as asked:
        assert len(json.loads(run("devices", "--json", "--limit", "10"))) == 10
    assert len(asked) < 8
    assert State.objects.count() == 25


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_those_of_one_minute_are_listed_the_newest_device_first(limit: int) -> None:
    for number, second in enumerate((50, 5, 30)):
        seen(f"{number}", second / 60)
    seen("3", 1)
    assert listed(limit=limit) == ["3", "2", "1", "0"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_device_that_is_seen_again_within_its_minute_touches_no_index() -> None:
    def updates(at: float) -> tuple[int, int]:
        """Of the state: all, and those that were written beside the old one (heap-only tuples)."""
        before = _updates()
        seen("1", at)
        return tuple(now - then for now, then in zip(_updates(), before, strict=True))  # type: ignore[return-value]

    seen("1", 0.1)
    with transaction.atomic():
        assert [updates(at) for at in (0.2, 0.3, 1.0, 1.1)] == [(1, 1), (1, 1), (1, 0), (1, 1)]


def _updates() -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_get_xact_tuples_updated(id), pg_stat_get_xact_tuples_hot_updated(id) "
            "FROM (VALUES ('store_state'::regclass)) AS state (id)"
        )
        return cursor.fetchone()  # type: ignore[no-any-return]


def test_states_of_before_are_listed_and_told_after_the_migration() -> None:
    """And those of after, when it is taken back."""
    write([incoming(report(values={"a": 1, "b": [2]}), identity="1", received_at=NOON + minutes(0.5))], is_open=anybody)
    call_command("migrate", "store", "0010", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute('SELECT "values" FROM store_state')
        assert json.loads(cursor.fetchone()[0]) == {"a": 1, "b": [2]}
    call_command("migrate", verbosity=0)
    assert State.objects.get().values == {"a": 1, "b": [2]}
    assert State.objects.get().seen_minute == NOON
    write([incoming(report(b"new", NOON + minutes(1), values={"b": 3}), identity="1")], is_open=anybody)
    assert State.objects.get().values == {"a": 1, "b": 3}
    assert listed() == ["1"]
