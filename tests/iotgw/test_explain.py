from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from iotgw.cli import main
from protocols.registry import PROTOCOLS

LOCATION = "7e0200001c0123456789010000000004000000080007203b7d0202633df70138000300632410012359591c7e"
AUTHENTICATION = "7e0102000b01234567890100003137323939383431373338b57e"


def shown(*arguments: str, given: str = "") -> list[str]:
    result = CliRunner().invoke(main, list(arguments), input=given)
    assert result.exit_code == 0, result.output
    return [re.sub(" +", " ", line).strip() for line in result.output.splitlines()]


def test_every_field_is_printed_with_offset_bytes_value_and_unit() -> None:
    lines = shown("decode", "jt808", LOCATION, "--explain")
    assert lines[0] == "at bytes field value meaning"
    assert "31 00 03 speed 0.3 km/h Speed 速度" in lines
    assert "5 01 23 45 67 89 01 phone 012345678901 Terminal phone number 终端手机号" in lines
    assert "21 07 20 3b 7e latitude 119.552894 ° Latitude, its sign in the status 纬度" in lines
    assert "circuit_cut 1 Electric circuit cut 电路断开" in lines
    assert "check 1c found, 1c computed" in lines
    assert "ack 7e80010005012345678901000000000200000e7e" in lines


def test_secrets_are_masked() -> None:
    output = "\n".join(shown("decode", "jt808", AUTHENTICATION, "--explain"))
    assert "•• •• ••" in output
    assert "17299841738" not in output
    assert "31 37 32" not in output


def test_a_wrong_check_byte_is_told_and_not_answered() -> None:
    lines = shown("decode", "jt808", LOCATION.replace("1c7e", "1d7e"), "--explain")
    assert "check 1d found, 1c computed" in lines
    assert "frame the check byte does not fit the bytes before it" in lines
    assert lines[-1] == "ack none"


def test_each_frame_has_a_tree_of_its_own() -> None:
    for lines in (
        shown("decode", "jt808", LOCATION, "zz", AUTHENTICATION, "--explain"),
        shown("decode", "jt808", "-", "--explain", given=f"{LOCATION}\nzz\n{AUTHENTICATION}\n"),
    ):
        assert len([line for line in lines if line.startswith("at bytes")]) == 2
        assert next(line for line in lines if line.startswith("error")).startswith("error: 'z' is no hex digit")


@pytest.mark.parametrize("message", ["location", "0x0200", "0200"])
def test_compile_prints_python(message: str) -> None:
    printed = CliRunner().invoke(main, ["compile", "jt808", message]).output
    compile(printed, "printed", "exec")
    assert "latitude" in printed


def test_compile_takes_an_edition_and_tells_which_there_are() -> None:
    run = CliRunner().invoke
    location = PROTOCOLS["jt808"].messages[0x0200]
    assert run(main, ["compile", "jt808", "location", "--edition", "2019"]).exit_code == 0
    wrong = run(main, ["compile", "jt808", "location", "--edition", "1999"])
    assert wrong.exit_code == 1
    assert f"use one of {', '.join(location.layouts)}" in wrong.output
    unknown = run(main, ["compile", "jt808", "nothing"])
    assert unknown.exit_code == 1
    assert "there is no message 'nothing'" in unknown.output
