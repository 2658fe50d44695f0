"""``iotgw command`` and ``iotgw commands``: what they take, print and exit with."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.core.management.base import CommandError

from protocols.command import CommandField
from store import groups
from store.commands import leaving
from store.commands.errors import ERRORS, BadFieldError
from store.models import AuditEntry, Command, Device
from tasks import commands
from tasks.contract import COMMANDS_FIELD, ROUTES, mailbox
from tasks.management.command_words import pace, read_fields, seconds
from tasks.management.commands import command as command_line
from tasks.management.commands import commands as commands_line
from tests.store.commands.made import ME, PROTOCOLS, answer, asked, device, granted, now, say, sent, states


@pytest.fixture
def memory(worker_redis: redis.Redis, database_url: str, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """The command's Redis; the protocols are those of the tests."""
    for module in (command_line, commands_line):
        monkeypatch.setattr(module, "registered", lambda options: PROTOCOLS)
    return worker_redis


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def fails(*words: str) -> tuple[int, str]:
    """The exit status, and what is said."""
    out = StringIO()
    with pytest.raises((CommandError, SystemExit)) as ended:
        call_command(*words, stdout=out)
    if isinstance(ended.value, CommandError):
        return ended.value.returncode, str(ended.value)
    assert isinstance(ended.value, SystemExit)
    return int(ended.value.code or 0), out.getvalue()


KNOWN = [CommandField("phone", "text, GBK to the end"), CommandField("digits", "BCD digits"), CommandField("n", "u8")]


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ([], {}),
        (
            ["n=5", "on=true", "speed=1.5", "none=null", "word=North", "empty="],
            {"n": 5, "on": True, "speed": 1.5, "none": None, "word": "North", "empty": ""},
        ),
        (["phone=123", "digits=0012", "n=0012"], {"phone": "123", "digits": "0012", "n": "0012"}),
        (
            ["area.name=a=b", 'area.size=[1, {"x": 2}]', "area.in.x=1"],
            {"area": {"name": "a=b", "size": [1, {"x": 2}], "in": {"x": 1}}},
        ),
        (["x=NaN", "y=-Infinity", "z=" + "[" * 100_000], {"x": "NaN", "y": "-Infinity", "z": "[" * 100_000}),
    ],
)
def test_fields_are_values_by_name(words: list[str], fields: dict[str, Any]) -> None:
    assert read_fields(words, KNOWN) == fields


@pytest.mark.parametrize("words", [["n"], ["=5"], ["a..b=1"], [".a=1"], ["a=1", "a=2"], ["a=1", "a.b=2"], ["a.b=1", "a=2"]])
def test_what_is_no_field_is_told(words: list[str]) -> None:
    with pytest.raises(BadFieldError):
        read_fields(words, KNOWN)


def test_spans_and_paces() -> None:
    assert [seconds(text) for text in ("90", "1.5s", "15min", "2h", "1 d")] == [90, 1.5, 900, 7200, 86_400]
    assert [pace(text) for text in ("5/s", "30/min", "900/h")] == [5, 0.5, 0.25]
    for read, text in ((seconds, "soon"), (seconds, "-1"), (pace, "5"), (pace, "0/s"), (pace, "1/d")):
        with pytest.raises(ArgumentTypeError):
            read(text)


def test_a_command_is_asked_for_and_the_gateway_told(memory: redis.Redis) -> None:
    device()
    memory.hset(ROUTES, mapping={"fake/1": "gw-1 run 7 1 1"})
    told = run("command", "1", "lock", "limit=5", "--expires", "90s", "--if", "speed_kmh <= 0 within 30 s")
    row = Command.objects.get()
    assert (row.fields, row.condition, (row.expires_at - row.not_before).seconds) == (
        {"limit": 5},
        "speed_kmh <= 0 within 30 s",
        90,
    )
    assert row.by.startswith("cli:")
    assert told.splitlines()[0] == f"command {row.id} (lock) for fake 1: queued until {row.expires_at:%Y-%m-%d %H:%M:%S}"
    assert AuditEntry.objects.get(action="command.ask").actor == row.by
    entries: Any = memory.xrange(mailbox("gw-1"))
    assert [list(fields) for _, fields in entries] == [[COMMANDS_FIELD]]
    shown = json.loads(run("command", "1", "ask", "--json"))
    assert (shown["state"], shown["effect"], [step["cause"] for step in shown["steps"]]) == ("queued", "query", ["asked"])


def test_while_redis_is_away_it_is_asked_for_all_the_same(memory: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    device()

    def away() -> Any:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(commands, "redis", away)
    assert "Redis is away" in run("command", "1", "lock")
    assert states() == ["queued"]


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["2", "lock"], "unknown_device", "there is no device 2: list them with devices"),
        (["1", "lock", "--protocol", "plain"], "unknown_device", "there is no device plain 1"),
        (["off", "lock"], "device_disabled", "may not come in"),
        (["1", "dance"], "unknown_command", "no command 'dance', but lock, ask, limit, erase, raw"),
        (["far", "lock"], "unknown_command", "no protocol other here"),
        (["1", "lock", "limit=x"], "bad_field", "limit: 'x' is no whole number"),
        (["1", "lock", "limit"], "bad_field", "'limit' is no field: write name=value"),
        (["1", "raw", "kind=0x10", "--yes"], "not_permitted", "add --raw"),
        (["1", "erase"], "confirmation_needed", "with --yes"),
        (["busy", "lock"], "too_many", "32 commands that have not ended"),
        (["1", "lock", "--if", "speed"], "bad_condition", "is no comparison"),
        (["1", "lock", "--expires", "60d"], "bad_expiry", "30 days at the most"),
        (["1", "lock", "--online"], "offline", "fake 1 is not online"),
    ],
)
def test_each_refusal_has_its_text_and_its_exit_status(words: list[str], code: str, told: str) -> None:
    device(), device("far", "other"), device("off")
    Device.objects.filter(identity="off").update(is_enabled=False)
    for _ in range(32):
        asked("ask", "busy")
    status, text = fails("command", *words)
    assert told in text
    assert status == 10 + [error.code for error in ERRORS].index(code)
    assert Command.objects.count() == 32


@pytest.mark.usefixtures("memory")
def test_what_is_not_said_is_asked_for() -> None:
    assert fails("command", "1") == (2, "give the device and the command: command DEVICE NAME [FIELD=VALUE]")
    device(), device(protocol="plain")
    assert fails("command", "1", "lock") == (2, "there are several devices 1: give --protocol, one of fake, plain")
    run("command", "1", "lock", "--protocol", "plain")
    assert Command.objects.get().device.protocol == "plain"
    run("command", "1", "raw", "kind=0x10", "body=0011", "--raw", "--yes", "--protocol", "fake")
    assert Command.objects.latest("id").kind == 0x10


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """What happens while somebody waits, one each time he looks."""
    happens: list[Callable[[], Any]] = []
    monkeypatch.setattr(command_line.time, "sleep", lambda _: happens.pop(0)() if happens else None)
    return happens


def newest() -> Command:
    return Command.objects.latest("id")


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("ends", "status", "told"),
    [
        (lambda: say(answer(newest())), 0, "acknowledged"),
        (lambda: leaving.unsent("gw", {newest().id: "too long"}, "", now()), 4, "failed, too long"),
        (lambda: Command.objects.update(state="expired"), 5, "expired"),
        (lambda: Command.objects.update(state="cancelled"), 6, "cancelled"),
    ],
)
def test_who_waits_is_told_how_it_ended(
    ends: Callable[[], Any], status: int, told: str, meanwhile: list[Callable[[], Any]]
) -> None:
    device()
    meanwhile += [lambda: granted(newest()), ends]
    words = ("command", "1", "lock", "--wait")
    shown = run(*words) if status == 0 else fails(*words)
    assert (shown if status == 0 else shown[1]) == f"command {newest().id} (lock) for fake 1: {told}\n"
    assert status == 0 or shown[0] == status


@pytest.mark.usefixtures("memory")
def test_who_does_not_want_to_wait_any_longer_is_told_that_it_is_not_over() -> None:
    device()
    status, text = fails("command", "1", "lock", "--wait", "0s")
    assert status == 3
    assert "queued until" in text
    assert "commands cancel" in text


@pytest.mark.usefixtures("memory")
def test_a_group_is_told_at_a_pace(meanwhile: list[Callable[[], Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "DEVICES_AT_ONCE", 2)
    groups.ensure(["North/Plant"], ME)
    for number, protocol in enumerate(("other", "fake", "fake", "plain", "fake")):
        device(f"{number}", protocol)
    Device.objects.exclude(identity="4").update(group=groups.find("North/Plant"))
    status, text = fails("command", "--group", "North", "lock", "limit=5", "--pace", "30/min")
    assert status == 7
    assert "not for other 0: there is no protocol other here" in text
    assert "run 1 (lock) for 3 devices, at 0.5 a second: 3 queued" in text
    rows = list(Command.objects.order_by("id"))
    assert [(row.device.identity, (row.not_before - rows[0].not_before).seconds) for row in rows] == [("1", 0), ("2", 2), ("3", 4)]
    told = json.loads(run("command", "--group", "North", "lock", "--protocol", "fake", "--json"))
    assert told == {"run": 2, "asked": 2, "refused": [], "states": {**dict.fromkeys(Command.State.values, 0), "queued": 2}}
    meanwhile.append(lambda: Command.objects.filter(run_id=3).update(state="acknowledged"))
    assert "1 acknowledged" in run("command", "--group", "North", "lock", "--protocol", "plain", "--wait")
    assert fails("command", "--group", "North", "lock", "--protocol", "plain", "--wait", "0s")[0] == 7


@pytest.mark.usefixtures("memory")
def test_what_is_wrong_for_a_whole_group_leaves_nothing() -> None:
    groups.ensure(["North"], ME)
    assert fails("command", "--group", "North", "lock")[0] == 10
    assert fails("command", "--group", "South", "lock") == (1, "there is no group South: list them with groups")
    device()
    Device.objects.update(group=groups.find("North"))
    for words, status in ((["erase"], 15), (["raw", "kind=1", "--yes"], 14), (["lock", "--expires", "0"], 18), (["dance"], 12)):
        assert fails("command", "--group", "North", *words)[0] == status
    assert json.loads(run("commands", "runs", "--json")) == []


@pytest.mark.usefixtures("memory")
def test_commands_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such commands" in run("commands")
    one, two, other = asked(fields={"limit": 5}), sent("ask"), asked(identity="2")
    assert [row["id"] for row in json.loads(run("commands", "--json"))] == [other.id, two.id, one.id]
    for words, ids in (
        (["--device", "1"], [two.id, one.id]),
        (["--state", "queued"], [other.id, one.id]),
        (["--state", "queued", "--state", "sent", "--limit", "1"], [other.id]),
        (["--after", str(two.id)], [one.id]),
        (["--run", "7"], []),
    ):
        assert [row["id"] for row in json.loads(run("commands", *words, "--json"))] == ids
    assert "lock" in run("commands", capsys=capsys)
    shown = json.loads(run("commands", "show", str(two.id), "--json"))
    assert [(step["cause"], step["data"]) for step in shown["steps"]] == [("asked", None), ("sent", b"frame".hex())]
    text = run("commands", "show", str(one.id), capsys=capsys)
    assert f"command {one.id} (lock) for fake 1, by me: queued" in text
    assert '{"limit": 5}' in text
    assert fails("commands", "show", "77") == (1, "there is no command 77: list them with commands")


@pytest.mark.usefixtures("memory")
def test_commands_are_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    one, gone = asked(), sent()
    assert run("commands", "cancel", str(one.id)) == f"cancelled command {one.id} (lock) for fake 1\n"
    assert fails("commands", "cancel", str(one.id)) == (1, f"command {one.id} (lock) is cancelled already")
    assert "sent already" in fails("commands", "cancel", str(gone.id))[1]
    assert "no command 77" in fails("commands", "cancel", "77")[1]
    groups.ensure(["North"], ME)
    Device.objects.update(group=groups.find("North"))
    run("command", "--group", "North", "ask")
    assert run("commands", "cancel", "--run", "1") == "cancelled 1 commands of run 1 (ask)\n"
    assert run("commands", "cancel", "--run", "1") == "cancelled 0 commands of run 1 (ask)\n"
    assert "no run 7" in fails("commands", "cancel", "--run", "7")[1]
    assert "group North" in run("commands", "runs", capsys=capsys)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_there_is_to_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = json.loads(run("commands", "kinds", "fake", "--json"))
    assert [kind["name"] for kind in kinds] == ["lock", "ask", "limit", "erase", "raw"]
    table = run("commands", "kinds", "fake", capsys=capsys)
    assert "Lock the doors" in table
    assert json.loads(run("commands", "kinds", "fake", "raw", "--json"))["effect"] == "raw"
    assert "bytes in hex" in run("commands", "kinds", "fake", "raw", capsys=capsys)
    assert (
        fails("commands", "kinds", "fake", "dance")[1] == "fake devices have no command 'dance', but lock, ask, limit, erase, raw"
    )
    assert fails("commands", "kinds", "x")[1] == "there is no protocol x: use one of carrying, fake, kinds, plain"


def test_the_help_says_each_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    for module, name in ((command_line, "command"), (commands_line, "commands")):
        with pytest.raises(SystemExit, match="0"):
            module.Command().create_parser("django", name).parse_args(["--help"])
        shown = " ".join(capsys.readouterr().out.split())
        assert shown.startswith(f"usage: iotgw {name} ")
        if name == "command":
            assert all(f"{status}: {error.code}" in shown for status, error in enumerate(ERRORS, 10))
