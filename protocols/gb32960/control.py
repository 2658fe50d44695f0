"""What the platform has a terminal do (车载终端控制).

Source: GB/T 32960.3-2016 and GB/T 32960.3-2025, annex B, the tables of control commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from construct import GreedyBytes, If, Int8ub, Struct, this

from protocols.command import CommandRule, Effect
from protocols.fields import Choice, Measured, Option, Secret, Text
from protocols.gb32960.header import ANSWER
from protocols.gb32960.rows import EXTRA, TIME, TIME_LEFT_OUT, answer_row, both, downlink

CONTROL = 0x82

_COMMANDS = {
    0x01: Option("upgrade", "Remote upgrade 远程升级"),
    0x02: Option("switch_off", "Switch the terminal off 车载终端关机"),
    0x03: Option("reset", "Reset the terminal 车载终端复位"),
    0x04: Option("factory_settings", "Factory settings 车载终端恢复出厂设置"),
    0x05: Option("disconnect", "Drop the data link 断开数据通信链路"),
    0x06: Option("warn", "Terminal alarm or early warning 车载终端报警/预警"),
    0x07: Option("open_sampling", "Open the sampling link 开启抽样监测链路"),
}
CONTROL_BODY = Struct(
    "time" / TIME * "Time, GMT+8 时间",
    "command" / Choice(Int8ub, _COMMANDS) * "Control command 命令ID",
    # The standard has its fields in two orders, and binary numbers between their separators: only the maker knows.
    "upgrade"
    / If(this.command == "upgrade", Secret(GreedyBytes))
    * "Dial-up, server and version in the maker's order, joined with semicolons 升级参数",
    "level" / If(this.command == "warn", Measured(Int8ub)) * "Level, 0 for none 警告等级",
    "text" / If(this.command == "warn", Text()) * "Text for the driver 报警信息",
    EXTRA,
)

_STRANDS = CommandRule(Effect.ACTUATE, is_confirmed_twice=True, defaults=TIME_LEFT_OUT)
_HARMLESS = ("reset", 0x03, "warn", 0x06, "open_sampling", 0x07)


def _rule(fields: Mapping[str, Any]) -> CommandRule:
    """What switches a terminal off, resets its settings, drops its link or changes its software may be its last; so may what
    makers have added."""
    command = fields.get("command")
    is_harmless = isinstance(command, (str, int)) and not isinstance(command, bool) and command in _HARMLESS
    return _STRANDS._replace(is_confirmed_twice=not is_harmless)


ROWS = (
    downlink(
        CONTROL,
        "control",
        "Terminal control",
        "车载终端控制命令",
        both(CONTROL_BODY),
        (CONTROL | ANSWER,),
        _STRANDS._replace(differs=_rule),
    ),
    answer_row(CONTROL, "controlled", "Answer to a terminal control", "车载终端控制应答", {}),
)
