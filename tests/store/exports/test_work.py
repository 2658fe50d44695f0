"""Exports in real databases: what is in a file, whatever becomes of whoever makes it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from protocols.report import DecodeError
from store import background, devices, groups
from store.bulk import write
from store.exports import folder as folders
from store.exports import reading, requests, work, workbook
from store.exports.errors import ExportError
from store.exports.folder import ExportFolder, Room
from store.exports.sources import SOURCES
from store.models import AuditEntry, DaySummary, Device, Event, EventKind, Export, ExportFormat, Stop, Trip
from tests.records import NOON, anybody, incoming, minutes, report
from tests.store.exports.making import DAYS, LATER, ME, ROOM, finish, left, lines, start, step, store

pytestmark = pytest.mark.usefixtures("database_url")
XLSX = ExportFormat.XLSX


@pytest.fixture
def folder(tmp_path: Path) -> ExportFolder:
    return ExportFolder(tmp_path, ROOM)


@pytest.fixture
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of two rows a step."""
    monkeypatch.setattr(work, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(reading, "ROWS_A_PAGE", 2)
    monkeypatch.setattr(reading, "DEVICES_AT_ONCE", 2)


def test_reports_are_a_table_with_units_and_local_times(folder: ExportFolder) -> None:
    store("013800138000", reports=1)
    row = finish(start(timezone="Asia/Shanghai"), folder)
    assert lines(row, folder) == [
        [
            "device", "protocol", "kind", "time", "received", "latitude (°)", "longitude (°)",
            "level_m (m)", "speed_kmh (km/h)",
        ],
        [
            "013800138000", "fake", "location", "2026-03-01T20:00:00+08:00", "2026-03-01T20:00:00+08:00", "30.5", "120.25",
            "0.5", "0.0",
        ],
    ]  # fmt: skip
    assert (row.state, row.done, row.expected, row.percent) == ("done", 1, 1, 100.0)
    assert row.bytes == folder.finished(row.token, "csv").stat().st_size
    assert row.expires_at is not None
    assert row.ended_at is not None
    assert row.expires_at - row.ended_at == timedelta(days=DAYS)


HOSTILE = {
    "a": "=1+1",
    "b": "+1",
    "c": "-1",
    "d": "@x",
    "e": "\tx",
    "f": "\rx",
    "g": -5.0,
    "h": True,
    "i": {"k": [1, "=2"]},
    "j": 2**60,
}


def test_text_that_a_spreadsheet_takes_for_a_formula_is_text_in_csv(folder: ExportFolder) -> None:
    store("1", reports=1, values=HOSTILE)
    row = finish(start(channels=list(HOSTILE)), folder)
    _, cells = lines(row, folder)
    assert cells[-10:] == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "-5.0", "true", '{"k": [1, "=2"]}', str(2**60)]


def test_a_spreadsheet_opens_with_its_text_as_text_and_right_totals(folder: ExportFolder) -> None:
    store("0138", "=2+3", reports=500, values={key: value for key, value in HOSTILE.items() if key not in "ef"})
    row = finish(start(format=XLSX), folder)
    book = load_workbook(folder.finished(row.token, "xlsx"), read_only=True)
    heading, *rows = list(book.active.iter_rows())
    names = [cell.value for cell in heading]
    assert names[:2] == ["device", "protocol"]
    assert [row[0].value for row in rows] == ["0138"] * 500 + ["=2+3"] * 500
    assert {cell.data_type for row in rows for cell in row} == {"s", "n", "b"}
    speed = names.index("speed_kmh (km/h)")
    assert sum(row[speed].value for row in rows) == 2 * sum(range(500))
    told = {name: rows[0][names.index(name)].value for name in HOSTILE if name not in "ef"}
    assert told == {name: value for name, value in HOSTILE.items() if name not in "efij"} | {
        "i": '{"k": [1, "=2"]}',
        "j": str(2**60),
    }
    assert (row.done, row.packed) == (1000, 1000)


def test_text_that_is_too_long_for_a_cell_is_cut(folder: ExportFolder) -> None:
    store("1", reports=1, values={"long": "x" * 40_000})
    row = finish(start(format=XLSX, channels=["long"]), folder)
    (_, told) = load_workbook(folder.finished(row.token, "xlsx")).active["H"]
    assert (len(told.value), told.value[-4:]) == (32_767, "x...")


def everything(folder: ExportFolder, source: str, **wanted: Any) -> list[str]:
    """The devices of the rows."""
    return [cells[0] for cells in lines(finish(start(source, **wanted), folder), folder)[1:]]


def test_only_what_is_asked_for(folder: ExportFolder) -> None:
    store("1", "2", "3", reports=2)
    store("1", reports=2, protocol="other")
    write([incoming(report(b"x", NOON, kind="other kind"), identity="3")], is_open=anybody)
    groups.ensure(["North/Plant"], ME)
    devices.move("fake", "2", "North/Plant", ME)
    devices.tag("fake", "3", ["blue"], [], ME)
    assert everything(folder, "reports") == ["1", "1", "2", "2", "3", "3", "3", "1", "1"]
    assert everything(folder, "reports", protocol="other") == ["1", "1"]
    assert everything(folder, "reports", protocol="fake", devices=["1"]) == ["1", "1"]
    assert everything(folder, "reports", group="North") == ["2", "2"]
    assert everything(folder, "reports", tag="Blue", kinds=["location"]) == ["3", "3"]
    assert everything(folder, "reports", devices=["3"], kinds=["other kind"]) == ["3"]
    assert everything(folder, "reports", devices=["2"], since=NOON + minutes(1)) == ["2"]
    assert everything(folder, "reports", devices=["2"], until=NOON + minutes(1)) == ["2"]


def test_a_group_that_goes_meanwhile_fails_it(folder: ExportFolder, tmp_path: Path) -> None:
    store("1")
    groups.ensure(["North"], ME)
    row = start(group="North")
    groups.remove("North", ME)
    with pytest.raises(ExportError, match="the group that it is of has been removed"):
        step(row, folder)
    row.refresh_from_db()
    assert (row.state, row.error[:9], left(tmp_path)) == ("failed", "the group", [])


def fill(identities: tuple[str, ...] = ("1", "2", "3"), rows: int = 5) -> None:
    """So many rows in each table of each device."""
    for identity in identities:
        write(
            [
                incoming(report(f"{n}".encode(), NOON + minutes(n), kind=f"kind {n}", alarms=[f"alarm {n}"]), identity=identity)
                for n in range(rows)
            ]
            + [
                incoming(
                    body=f"bad {n}".encode(),
                    identity=identity,
                    error=DecodeError("cause", "path", "=text"),
                    received_at=NOON + minutes(n),
                )
                for n in range(rows)
            ],
            is_open=anybody,
        )
        device = Device.objects.get(identity=identity)
        for n in range(rows):
            span = {"begins_at": NOON + minutes(n), "ends_at": NOON + minutes(n + 1)}
            DaySummary.objects.create(device=device, day=date(2026, 3, n + 1), as_of=LATER, **span)
            DaySummary.objects.create(device=device, day=date(2026, 4, n + 1), due_at=LATER)
            Trip.objects.create(device=device, distance_km=1.5, idle_seconds=0, **span)
            Stop.objects.create(device=device, **span)
            if n % 2:
                Event.objects.create(device=device, time=NOON, kind=EventKind.ONLINE, subject=f"{n}", received_at=NOON)


@pytest.mark.parametrize("source", SOURCES)
def test_each_table_is_written_whole_in_steps_as_in_one(
    source: str, folder: ExportFolder, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    fill()
    whole = finish(start(source), folder)
    assert whole.steps == 1
    request.getfixturevalue("in_small_steps")
    row = finish(start(source), folder)
    assert row.steps > 6
    assert lines(row, folder) == lines(whole, folder)
    there = SOURCES[source].model.objects.filter(SOURCES[source].only).count()
    assert row.done == row.expected == there == len({tuple(cells) for cells in lines(row, folder)[1:]}) > 14


@pytest.mark.usefixtures("in_small_steps")
@pytest.mark.parametrize("format", ExportFormat.values)
def test_progress_never_goes_back_and_a_step_begins_where_the_row_says(format: str, folder: ExportFolder, tmp_path: Path) -> None:
    store("1", "2")
    row, told = start(format=ExportFormat(format)), list[float]()
    while row.is_open:
        told.append(row.percent)
        if row.bytes:
            # As a worker that was killed in the middle of a step leaves it.
            with (tmp_path / "exports" / f"work-{row.token}" / "rows").open("ab") as file:
                file.write(b"half a line")
        step(row, folder)
    assert told == sorted(told)
    assert told[0] == 0.0
    assert row.percent == 100.0
    if format == "csv":
        assert [(cells[0], cells[-1]) for cells in lines(row, folder)[1:]] == [(d, f"{n}.0") for d in "12" for n in range(3)]
    else:
        sheet = load_workbook(folder.finished(row.token, format)).active
        assert [(cells[0].value, cells[-1].value) for cells in sheet.iter_rows(min_row=2)] == [
            (d, n) for d in "12" for n in range(3)
        ]


@pytest.mark.usefixtures("in_small_steps")
def test_a_step_that_comes_twice_or_while_somebody_is_at_it_does_nothing(folder: ExportFolder) -> None:
    store("1")
    row = start()
    with folder.workplace(row.token):
        assert work.take_step(row.id, 0, folder, DAYS, lambda row: None) is None
    step(row, folder)
    assert (row.steps, row.done) == (1, 2)
    assert work.take_step(row.id, 0, folder, DAYS, lambda row: None) is None
    assert work.take_step(row.id + 1, 0, folder, DAYS, lambda row: None) is None
    row.refresh_from_db()
    assert (row.steps, row.done) == (1, 2)
    assert finish(row, folder).done == 3


def test_what_is_stored_later_is_not_part_of_it(folder: ExportFolder) -> None:
    store("1")
    row = start()
    store("1", reports=5)
    assert finish(row, folder).done == 3 == row.expected


def cancel(row: Export) -> None:
    assert background.cancel(Export, row.id, LATER, ME, "export.cancel")


@pytest.mark.usefixtures("in_small_steps")
def test_one_that_is_cancelled_leaves_nothing(folder: ExportFolder, tmp_path: Path) -> None:
    store("1")
    row = step(start(), folder)
    assert left(tmp_path) == [f"work-{row.token}"]
    cancel(row)
    taken = work.take_step(row.id, row.steps, folder, DAYS, lambda row: None)
    assert (taken and taken.state, left(tmp_path)) == ("cancelled", [])
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == ["export.start", "export.cancel"]


@pytest.mark.parametrize(("module", "name"), [(work, "headings"), (folders, "sync")])
def test_one_that_is_cancelled_within_a_step_leaves_nothing(
    module: Any, name: str, folder: ExportFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While rows are written, and when the file is in its place already."""
    store("1")
    row = start()
    monkeypatch.setattr(module, name, lambda *_: cancel(row) or [])
    assert (finish(row, folder).state, left(tmp_path)) == ("cancelled", [])


@pytest.mark.parametrize("at", ["rows", "zip"])
def test_one_that_is_cancelled_while_it_is_packed_leaves_nothing(
    at: str, folder: ExportFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("1", "2", reports=600)
    row = step(start(format=XLSX), folder)
    for module in (workbook, folders):
        monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    looked = []

    def look(row: Export) -> None:
        looked.append(row.packed)
        if row.packed >= (1000 if at == "rows" else 1200):
            cancel(row)

    work.take_step(row.id, row.steps, folder, DAYS, look)
    row.refresh_from_db()
    assert (row.state, left(tmp_path)) == ("cancelled", [])
    assert looked[-1] == (1000 if at == "rows" else 1200)


def killed_at(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> Callable[[], None]:
    """Have a worker end there; what brings it back."""
    whole = getattr(module, name)

    def end(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, end)
    return lambda: monkeypatch.setattr(module, name, whole)


@pytest.mark.parametrize(
    ("format", "module", "name"),
    [
        ("csv", requests, "committed"),
        ("csv", os, "replace"),
        ("csv", requests, "finished"),
        ("xlsx", requests, "committed"),
        ("xlsx", workbook, "_write_row"),
        ("xlsx", os, "replace"),
        ("xlsx", requests, "finished"),
    ],
)
def test_a_worker_that_ends_anywhere_costs_a_step(
    format: str, module: Any, name: str, folder: ExportFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("1", "2")
    row = start(format=ExportFormat(format))
    mend = killed_at(monkeypatch, module, name)
    with pytest.raises(KeyboardInterrupt):
        finish(row, folder)
    mend()
    row.refresh_from_db()
    assert finish(row, folder).done == 6
    assert left(tmp_path) == [f"{row.token}.{format}"]
    if format == "csv":
        assert len(lines(row, folder)) == 7
    else:
        assert load_workbook(folder.finished(row.token, format)).active.max_row == 7


def test_what_is_packed_again_does_not_go_back(folder: ExportFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    store("1", "2", reports=600)
    row = step(start(format=XLSX), folder)
    monkeypatch.setattr(workbook, "_LOOK_SECONDS", 0.0)
    mend = killed_at(monkeypatch, folders.Workplace, "put")
    with pytest.raises(KeyboardInterrupt):
        step(row, folder)
    mend()
    row.refresh_from_db()
    before, told = row.percent, list[float]()
    assert before > 90
    work.take_step(row.id, row.steps, folder, DAYS, lambda row: told.append(row.percent))
    assert min(told) == before


def test_what_ends_workers_again_and_again_fails(
    folder: ExportFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store("1")
    row = start()
    killed_at(monkeypatch, requests, "committed")
    for _ in range(work.MOST_TRIES):
        with pytest.raises(KeyboardInterrupt):
            step(row, folder)
    with pytest.raises(ExportError):
        step(row, folder)
    row.refresh_from_db()
    assert (row.state, left(tmp_path)) == ("failed", [])
    assert caplog.records[-1].message.startswith("export failed: workers ended with it again and again")


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("format", ExportFormat.values)
def test_a_full_disk_is_a_clear_failure_that_leaves_nothing(
    format: str, folder: ExportFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("1")
    row = start(format=ExportFormat(format))
    if format == "xlsx":
        step(row, folder)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError):
        step(row, folder)
    row.refresh_from_db()
    assert (row.state, row.error, left(tmp_path)) == ("failed", "the disk is full: make room, and start it again", [])


@pytest.mark.parametrize("format", ExportFormat.values)
def test_what_others_need_of_the_disk_is_left(format: str, tmp_path: Path) -> None:
    store("1")
    row = start(format=ExportFormat(format))
    if format == "xlsx":
        step(row, ExportFolder(tmp_path, ROOM))
    with pytest.raises(ExportError, match="media_spare_bytes"):
        step(row, ExportFolder(tmp_path, Room(1 << 30, 1 << 60)))
    row.refresh_from_db()
    assert (row.state, left(tmp_path)) == ("failed", [])


@pytest.mark.parametrize("format", ExportFormat.values)
def test_a_file_has_a_most_size(format: str, tmp_path: Path) -> None:
    store("1", reports=100)
    row = start(format=ExportFormat(format))
    with pytest.raises(ExportError, match="larger than export_bytes, 1,000"):
        finish(row, ExportFolder(tmp_path, Room(1_000, 0)))
    row.refresh_from_db()
    assert (row.state, row.done, left(tmp_path)) == ("failed", 0, [])


@pytest.mark.usefixtures("in_small_steps")
def test_a_worker_without_the_others_folder_says_so(folder: ExportFolder, tmp_path: Path) -> None:
    store("1")
    row = step(start(), folder)
    with pytest.raises(ExportError, match="have one media_folder"):
        step(row, ExportFolder(tmp_path / "another", ROOM))


def test_files_go_when_their_time_is_over_and_what_is_left_behind(folder: ExportFolder, tmp_path: Path) -> None:
    store("1")
    first, second = finish(start(), folder), finish(start(), folder)
    running, cancelled = start(), start()
    for row in (running, cancelled):
        with folder.workplace(row.token):
            pass
    cancel(cancelled)
    (tmp_path / "exports" / "of-nobody.csv").touch()
    now = datetime.now(UTC)
    Export.objects.filter(id=first.id).update(expires_at=now)
    assert work.sweep(folder, now) == 1
    assert left(tmp_path) == sorted([f"{second.token}.csv", f"work-{running.token}"])
    first.refresh_from_db()
    assert (first.state, first.percent) == ("expired", 100.0)
    assert finish(running, folder).state == "done"
    work.sweep(folder, now + timedelta(days=requests.ROW_DAYS))
    assert set(Export.objects.values_list("state", flat=True)) == {"expired"}
    work.sweep(folder, now + timedelta(days=requests.ROW_DAYS + 1))
    assert not Export.objects.exists()


def test_what_a_worker_is_at_is_not_swept(folder: ExportFolder, tmp_path: Path) -> None:
    store("1")
    row = start()
    with folder.workplace(row.token):
        cancel(row)
        work.sweep(folder, LATER)
        assert left(tmp_path) == [f"work-{row.token}"]


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ({"most_rows": 5}, "more than 5 rows (export_rows): choose fewer devices, kinds or a shorter period"),
        ({"devices": ["1", "9"]}, "there is no device 9: list them with devices"),
        ({"devices": ["1"], "protocol": "other"}, "there is no device of other 1"),
        ({"devices": [f"{n}" for n in range(1_001)]}, "1001 devices are named, 1000 may be"),
        ({"group": "South"}, "there is no group South"),
        ({"channels": ["mood"]}, "none of these devices has a channel mood"),
        ({"channels": [f"{n}" for n in range(201)]}, "none of these devices has a channel 0"),
        ({"source": "trips", "channels": ["mood"]}, "trips have no channels"),
        ({"source": "trips", "kinds": ["location"]}, "trips have no kinds"),
        ({"since": LATER}, "it begins when it has ended"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(wanted: dict[str, Any], fault: str) -> None:
    store("1", "2")
    with pytest.raises(ExportError) as told:
        start(**wanted)
    assert fault in str(told.value)
    assert not Export.objects.exists()


def test_a_spreadsheet_that_is_too_long_is_refused_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    store("1", "2")
    monkeypatch.setattr(workbook, "MOST_ROWS", 6)
    with pytest.raises(ExportError, match="more than 5 rows, which is all that a spreadsheet takes: choose csv"):
        start(format=XLSX)
    start()


def test_more_channels_than_columns_are_taken_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store("1", values={"a": 1, "b": 2})
    monkeypatch.setattr(requests, "MOST_CHANNELS", 2)
    with pytest.raises(ExportError, match="more than 2 channels: choose some with --channel"):
        start()
    assert start(channels=["b", "speed_kmh"]).channels == [["b", ""], ["speed_kmh", "km/h"]]


def test_what_takes_too_long_to_count_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store("1", "2")
    monkeypatch.setattr(requests, "COUNT_SECONDS", -1.0)
    with pytest.raises(ExportError, match="choose fewer devices or a shorter period"):
        start()


def test_so_many_at_once_are_taken() -> None:
    rows = [start() for _ in range(requests.MOST_OPEN)]
    with pytest.raises(ExportError, match="10 exports are under way"):
        start()
    cancel(rows[0])
    start()


def test_one_of_nothing_is_a_file_with_a_heading(folder: ExportFolder) -> None:
    row = finish(start("alarms"), folder)
    assert (row.done, len(lines(row, folder))) == (0, 1)


@pytest.mark.parametrize("page", [1, 2, 3, 5, 100])
def test_devices_with_few_rows_and_with_many_are_read_each_row_once_in_one_order(
    page: int, folder: ExportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [1, 1, 1, 2, 1, 1, 7, 1, 1, 1, 3, 3, 1, 1]
    for number, count in enumerate(counts):
        store(f"{number:02}", reports=count)
    monkeypatch.setattr(reading, "ROWS_A_PAGE", page)
    row = finish(start(), folder)
    assert [(cells[0], float(cells[-1])) for cells in lines(row, folder)[1:]] == [
        (f"{number:02}", float(n)) for number, count in enumerate(counts) for n in range(count)
    ]
