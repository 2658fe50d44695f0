"""Attachments of active safety alarms (主动安全报警附件).

Provinces widen the terminal id to 30 bytes and the alarm flag to 38, 39 or 40: the layout is the one that comes out even.

Source: T/JSATL 12-2017, chapter 4; Guangdong and Heilongjiang: their provincial variants.
"""

from __future__ import annotations

from construct import Array, Bytes, GreedyBytes, Int8ub, Int16ub, Int32ub, Prefixed, Struct, this

from protocols.fields import BcdTime, Choice, Count, Declaration, Option, Scaled, Text
from protocols.items import UntilEnd
from protocols.jt808.rows import EXTRA, Answer, downlink, uplink

ALARM_ATTACHMENTS = 0x1210
FILE_INFORMATION = 0x1211
FILE_UPLOADED = 0x1212
UPLOAD_ALARM_ATTACHMENTS = 0x9208
FILE_UPLOADED_RESPONSE = 0x9212

_INFORMATION_TYPES = {0: Option("normal", "Normal 正常报警文件信息"), 1: Option("resent", "Sent again 补传报警文件信息")}
_FILE_TYPES = {
    0: Option("picture", "Picture 图片"),
    1: Option("audio", "Audio 音频"),
    2: Option("video", "Video 视频"),
    3: Option("text", "Text 文本"),
    4: Option("other", "Other 其他"),
}
_UPLOAD_RESULTS = {0: Option("complete", "Complete 完成"), 1: Option("resend", "To be sent again 需要补传")}

_NAME = "name" / Prefixed(Int8ub, Text()) * "Name of the file 文件名称"
_SIZE = "size_bytes" / Scaled(Int32ub, 1, "bytes") * "Size of the file 文件大小"
_FILE_TYPE = "file_type" / Choice(Int8ub, _FILE_TYPES) * "Type of the file 文件类型"
_ALARM_NUMBER = "alarm_number" / Text(32) * "Number that the platform gave the alarm 报警编号"


def _terminal_id(size: int) -> Declaration:
    return "terminal_id" / Text(size) * "Terminal id 终端ID"


def _alarm_flag(terminal: int, reserved: int = 0) -> Declaration:
    fields = [
        _terminal_id(terminal),
        "time" / BcdTime(8) * "Time of the alarm, GMT+8 时间",
        "sequence" / Int8ub * "Number of the alarm at that time 序号",
        "attachments" / Int8ub * "Number of attachments 附件数量",
    ]
    if reserved:
        fields.append("reserved" / Bytes(reserved) * "Reserved 预留")
    return "alarm_flag" / Struct(*fields) * "Which alarm 报警标识号"


def _attachments(*head: Declaration) -> Struct:
    return Struct(
        *head,
        _ALARM_NUMBER,
        "information_type" / Choice(Int8ub, _INFORMATION_TYPES) * "Normal or sent again 信息类型",
        "count" / Count(Int8ub, "files") * "Number of files 附件数量",
        "files" / UntilEnd(Struct(_NAME, _SIZE)) * "Files 附件信息列表",
    )


_ATTACHMENTS = {
    "2017": _attachments(_terminal_id(7), _alarm_flag(7, 1)),
    "2017 Guangdong": _attachments(_terminal_id(30), _alarm_flag(30, 2)),
    "2017 Heilongjiang": _attachments(_alarm_flag(30)),
    "2017 wide": _attachments(_terminal_id(30), _alarm_flag(30)),
    "2017 wide with one reserved": _attachments(_terminal_id(30), _alarm_flag(30, 1)),
    "2017 raw": Struct("data" / GreedyBytes * "Data of a layout of another province's 报警附件信息"),
}
_HEADS = (
    ("2017", 7 + 16 + 32),
    ("2017 Guangdong", 30 + 40 + 32),
    ("2017 Heilongjiang", 38 + 32),
    ("2017 wide", 30 + 38 + 32),
    ("2017 wide with one reserved", 30 + 39 + 32),
)
"""Bytes in front of the information type."""


def _attachments_layout(body: bytes, is_2019: bool) -> Struct:
    for name, size in _HEADS:
        if _ends_even(body, size):
            return _ATTACHMENTS[name]
    return _ATTACHMENTS["2017 raw"]


def _ends_even(body: bytes, head: int) -> bool:
    """Whether as many files follow a head of this size as it tells of."""
    at = head + 2
    if len(body) < at:
        return False
    for _ in range(body[head + 1]):
        if at >= len(body):
            return False
        at += 1 + body[at] + 4
    return at == len(body) and body[head] in _INFORMATION_TYPES


_FILE = Struct(_NAME, _FILE_TYPE, _SIZE, EXTRA)


def _upload(flag: Declaration) -> Struct:
    return Struct(
        "address" / Prefixed(Int8ub, Text()) * "Attachment server's address 附件服务器IP地址",
        "tcp_port" / Int16ub * "Attachment server's TCP port 附件服务器TCP端口",
        "udp_port" / Int16ub * "Attachment server's UDP port 附件服务器UDP端口",
        flag,
        _ALARM_NUMBER,
        "reserved" / Bytes(16) * "Reserved 预留",
        EXTRA,
    )


_FILE_UPLOADED_RESPONSE = Struct(
    _NAME,
    _FILE_TYPE,
    "result" / Choice(Int8ub, _UPLOAD_RESULTS) * "Result 上传结果",
    "count" / Count(Int8ub, "pieces") * "Number of pieces wanted 补传数据包数量",
    "pieces"
    / Array(
        this.count,
        Struct(
            "offset" / Int32ub * "Where it begins in the file 数据偏移量",
            "length_bytes" / Scaled(Int32ub, 1, "bytes") * "How long it is 数据长度",
        ),
    )
    * "Pieces wanted 补传数据包列表",
    EXTRA,
)

ROWS = (
    uplink(
        ALARM_ATTACHMENTS,
        "alarm_attachments",
        "Alarm attachment information",
        "报警附件信息消息",
        _ATTACHMENTS,
        choose=_attachments_layout,
    ),
    uplink(FILE_INFORMATION, "file_information", "File information", "文件信息上传", {"2017": _FILE}),
    uplink(FILE_UPLOADED, "file_uploaded", "File upload finished", "文件上传完成消息", {"2017": _FILE}, Answer.FILE_UPLOADED),
    downlink(
        UPLOAD_ALARM_ATTACHMENTS,
        "upload_alarm_attachments",
        "Alarm attachment upload command",
        "报警附件上传指令",
        {"2017": _upload(_alarm_flag(7, 1))},
    ),
    downlink(
        FILE_UPLOADED_RESPONSE,
        "file_uploaded_response",
        "File upload finished response",
        "文件上传完成消息应答",
        {"2017": _FILE_UPLOADED_RESPONSE},
        (),
    ),
)
