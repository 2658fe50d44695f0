"""A terminal's parameters (参数): queried, set, and told in answers.

Source: GB/T 32960.3-2016 and GB/T 32960.3-2025, annex B, the parameter table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any

from construct import Int8ub, Int16ub, MappingError, Struct

from protocols.command import CommandRule, Effect
from protocols.fields import Choice, Count, Declaration, Option, Scaled, Text
from protocols.gb32960.header import ANSWER
from protocols.gb32960.rows import EXTRA, TIME, TIME_LEFT_OUT, answer_row, counted, downlink
from protocols.items import Entries, Item, Items

if TYPE_CHECKING:
    from construct.core import Context

QUERY_PARAMETERS = 0x80
SET_PARAMETERS = 0x81
HARDWARE_VERSION = 0x07
FIRMWARE_VERSION = 0x08
READ_ONLY = (HARDWARE_VERSION, FIRMWARE_VERSION)

LENGTHS = {0x05: 0x04, 0x0E: 0x0D}
"""Texts without a length of their own, and the parameter before them that tells it."""

_ASCII = Text(None, "ascii")
_VERSION = Text(5, "ascii")
_STORE_PERIOD = "store_period_ms" / Scaled(Int16ub, 1, "ms") * "Local storage period 车载终端本地存储时间周期"
_TABLE: dict[int, tuple[Declaration, ...]] = {
    0x04: ("domain_bytes" / Scaled(Int8ub, 1, "bytes") * "Length of the platform's domain name 远程服务与管理平台域名长度",),
    0x05: ("domain" / _ASCII * "Platform's domain name, behind its length 远程服务与管理平台域名",),
    0x06: ("port" / Int16ub * "Platform's port 远程服务与管理平台端口",),
    0x07: ("hardware_version" / _VERSION * "Hardware version, read only 硬件版本",),
    0x08: ("firmware_version" / _VERSION * "Firmware version, read only 固件版本",),
    0x09: ("heartbeat_period_s" / Scaled(Int8ub, 1, "s") * "Heartbeat period 车载终端心跳发送周期",),
    0x0A: ("terminal_timeout_s" / Scaled(Int16ub, 1, "s") * "Terminal's answer time-out 终端应答超时时间",),
    0x0B: ("platform_timeout_s" / Scaled(Int16ub, 1, "s") * "Platform's answer time-out 平台应答超时时间",),
    0x0C: (
        "login_pause_min" / Scaled(Int8ub, 1, "min") * "Pause after three failed logins 连续三次登入失败后，到下一次登入的间隔时间",
    ),
    0x0D: ("public_domain_bytes" / Scaled(Int8ub, 1, "bytes") * "Length of the public platform's domain name 公共平台域名长度",),
    0x0E: ("public_domain" / _ASCII * "Public platform's domain name, behind its length 公共平台域名",),
    0x0F: ("public_port" / Int16ub * "Public platform's port 公共平台端口",),
    0x10: (
        "sampling"
        / Choice(Int8ub, {1: Option("on", "Yes 是"), 2: Option("off", "No 否")})
        * "Under sampling supervision 是否处于抽样监测中",
    ),
}
TABLE_2016 = {
    0x01: (_STORE_PERIOD,),
    0x02: ("report_period_s" / Scaled(Int16ub, 1, "s") * "Report period 正常时，信息上报时间周期",),
    0x03: ("alarm_report_period_ms" / Scaled(Int16ub, 1, "ms") * "Report period during an alarm 出现报警时，信息上报时间周期",),
    **_TABLE,
}
TABLE_2025 = {
    0x01: (_STORE_PERIOD,),
    0x02: ("report_period_s" / Scaled(Int8ub, 1, "s") * "Report period 正常时，信息上报时间周期",),
    0x03: ("alarm_report_period_s" / Scaled(Int8ub, 1, "s") * "Report period during an alarm 出现报警时，信息上报时间周期",),
    **_TABLE,
}


class Parameters(Items):
    """Items without lengths: a value is as long as its id's declaration, or as an earlier parameter says of a text.

    From the first id in no table on, bytes stay in ``trailing``: where the next one begins is not known.
    """

    def __init__(self, table: Mapping[int, tuple[Declaration, ...]]) -> None:
        super().__init__(table, ">B")

    def _parse(self, stream: IO[bytes], context: Context, path: str) -> Entries:
        data = stream.read()
        entries, at, told = Entries(), 0, dict[int, int]()
        while at < len(data):
            id, start = data[at], at + 1
            size = told.get(LENGTHS[id]) if id in LENGTHS else self._size(id)
            if size is None or start + size > len(data):
                break
            at = start + size
            entries.append(self._item(id, size, data[start:at]))
            if id in LENGTHS.values():
                told[id] = data[start]
        entries.trailing = data[at:]
        return entries

    def _size(self, id: int) -> int | None:
        row = self.table.get(id)
        return row[0].sizeof() if row else None

    def _build(self, obj: Iterable[Item] | Mapping[str, Any], stream: IO[bytes], context: Context, path: str) -> Any:
        items = [self._named(name, value, path) for name, value in obj.items()] if isinstance(obj, Mapping) else obj
        told: dict[int, int] = {}
        for item in items:
            raw = self.raw(item)
            if item.id in LENGTHS and told.get(LENGTHS[item.id]) != len(raw):
                of_length = self.table[LENGTHS[item.id]][0].name
                raise MappingError(f"{item.name} of {len(raw)} bytes needs a {of_length} of {len(raw)} before it", path)
            if item.id in LENGTHS.values():
                told[item.id] = raw[0]
            stream.write(bytes((item.id,)) + raw)
        stream.write(getattr(obj, "trailing", b""))
        return obj


def _told(table: Mapping[int, tuple[Declaration, ...]]) -> Struct:
    return Struct(
        "time" / TIME * "Time, GMT+8 时间",
        "count" / Count(Int8ub, "parameters") * "Number of parameters 参数总数",
        "parameters" / Parameters(table) * "Parameters 参数项列表",
    )


def _ids(table: Mapping[int, tuple[Declaration, ...]]) -> Struct:
    options = {id: Option(str(row[0].name), row[0].docs) for id, row in table.items()}
    return Struct(
        "time" / TIME * "Time, GMT+8 参数查询时间",
        *counted("ids", "Parameters asked for 参数ID列表", "Number of parameters 参数总数", Choice(Int8ub, options)),
        EXTRA,
    )


PARAMETERS = {"2016": _told(TABLE_2016), "2025": _told(TABLE_2025)}

_SETTING = CommandRule(Effect.CONFIGURE, is_repeatable=True, defaults=TIME_LEFT_OUT)
_WAYS_HERE = frozenset({"domain_bytes", "domain", "port"})
"""Parameters by which a terminal finds its platform."""


def _setting(fields: Mapping[str, Any]) -> CommandRule:
    """A terminal that is sent to another platform does not come back."""
    parameters = fields.get("parameters")
    names = parameters if isinstance(parameters, Mapping) else ()
    is_away = any(name in _WAYS_HERE or str(name).lower() in ("0x04", "0x05", "0x06") for name in names)
    return _SETTING._replace(is_confirmed_twice=is_away)


ROWS = (
    downlink(
        QUERY_PARAMETERS,
        "query_parameters",
        "Parameter query",
        "参数查询",
        {"2016": _ids(TABLE_2016), "2025": _ids(TABLE_2025)},
        (QUERY_PARAMETERS | ANSWER,),
        CommandRule(Effect.QUERY, is_repeatable=True, defaults=TIME_LEFT_OUT),
    ),
    answer_row(QUERY_PARAMETERS, "parameters", "Parameters, in answer to a query", "参数查询应答", PARAMETERS),
    downlink(
        SET_PARAMETERS,
        "set_parameters",
        "Parameter setting",
        "参数设置",
        PARAMETERS,
        (SET_PARAMETERS | ANSWER,),
        _SETTING._replace(differs=_setting),
    ),
    answer_row(SET_PARAMETERS, "parameters_set", "Answer to a parameter setting", "参数设置应答", {}),
)
