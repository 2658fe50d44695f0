"""The messages, and what their payloads hold."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from construct import GreedyBytes, Int8ub, Int16ub, Int32ub, Int64ub, Prefixed, Struct

from protocols.command import CommandField, CommandRule, Effect
from protocols.fields import Choice, Option, Scaled, Secret, Text
from protocols.items import Records, UntilEnd
from protocols.native.channels import FIRST_OWN_CHANNEL, NAMED_VALUE, READING
from protocols.native.fields import Stamp
from protocols.rows import Direction, MessageType

VERSION = 1
"""The highest that the platform speaks."""
EDITION = "2026 version 1"

HELLO, DESCRIBE, READINGS, FILE_BEGIN, FILE_DATA, FILE_END, RESULT, GET, TIME, PING, BYE = range(0x01, 0x0C)
ACK = 0x80
WELCOME = 0x81
COMMAND = 0x87
CHUNK = 0x88
TIME_ANSWER = 0x89
PONG = 0x8A
OFFER = 0x8B
LOWEST_DOWNLINK = 0x80

MAX_IDENTITY_BYTES = 64
MAX_NAMES_BYTES = 512
"""Of the names of a device's own channels: they stand in the head of each of its messages with readings, and so in rows."""

NAMED_VALUES = UntilEnd(NAMED_VALUE)
_EXTRA = "extra" / GreedyBytes * "What a later version says behind it 扩展数据"
_SHORT_TEXT = Prefixed(Int8ub, Text(None, "utf-8"))
_FILE = "file" / Stamp() * "Which file: when it was made, unlike any other of the device 文件标识"
_DOWNLOAD = "file" / Int32ub * "Which file of the platform 文件编号"
_PLATFORM_TIME = "time" / Stamp() * "The platform's time, in ms since 1970 UTC 平台时间"

HELLO_BODY = Struct(
    "version" / Int8ub * "Highest version of the protocol that the device speaks 协议版本",
    "payload" / Scaled(Int16ub, 1, "bytes") * "Longest payload that the device can take 最大接收长度",
    "identity" / _SHORT_TEXT * "Identity, 1 to 64 bytes 设备标识",
    "token" / Secret(Prefixed(Int8ub, GreedyBytes)) * "Token 令牌",
    "model" / _SHORT_TEXT * "Model 型号",
    "software" / _SHORT_TEXT * "Version of the firmware 软件版本号",
    _EXTRA,
)
CHANNEL_NAME = Struct(
    "channel" / Int8ub * f"Channel, from {FIRST_OWN_CHANNEL} on 通道",
    "name" / _SHORT_TEXT * "Name, its unit behind the last underscore 名称",
    "unit" / _SHORT_TEXT * "Unit, for people 单位",
)
DESCRIBE_BODY = Struct("channels" / UntilEnd(CHANNEL_NAME) * "Channels of the device's own, all of them 通道列表")
MOMENT = Struct(
    "stamp" / Stamp() * "When, in ms since 1970 UTC; below 2³² the device's number of a reading without a time 时间",
    "readings" / UntilEnd(READING) * "Readings, each channel once 读数",
)
READINGS_BODY = Struct("moments" / Records(MOMENT) * "Moments 时刻列表")
FILE_KINDS = {
    0: Option("data", "Anything else 其他"),
    1: Option("image", "Image 图片"),
    2: Option("video", "Video 视频"),
    3: Option("audio", "Audio 音频"),
    4: Option("log", "Log 日志"),
}
FILE_BEGIN_BODY = Struct(
    _FILE,
    "content" / Choice(Int8ub, FILE_KINDS) * "What it is 文件类型",
    "size" / Scaled(Int32ub, 1, "bytes") * "Its size, 0 if that is not known yet 文件大小",
    "name" / _SHORT_TEXT * "Its name 文件名",
    _EXTRA,
)
FILE_DATA_BODY = Struct(
    _FILE,
    "offset" / Scaled(Int32ub, 1, "bytes") * "Where in the file the bytes belong 偏移",
    "data" / GreedyBytes * "Bytes of the file 文件数据",
)
DATA_HEAD_BYTES = 12
FILE_END_BODY = Struct(
    _FILE,
    "size" / Scaled(Int32ub, 1, "bytes") * "Its size 文件大小",
    "crc32" / Int32ub * "CRC-32 of all its bytes, as in zip 校验值",
    _EXTRA,
)
STATUSES = {
    0: Option("done", "Done 成功"),
    1: Option("failed", "Failed 失败"),
    2: Option("unknown", "There is no such command or file 未知"),
    3: Option("wrong", "Its arguments cannot be 参数错误"),
    4: Option("busy", "Not now, ask again 忙"),
    5: Option("damaged", "The file's CRC-32 does not fit 文件损坏"),
}
ANSWERED = {COMMAND: Option("command", "A command 命令"), OFFER: Option("offer", "A file that was offered 文件下发")}
RESULT_BODY = Struct(
    "stamp" / Stamp() * "When, in ms since 1970 UTC; below 2³² a number of the device's 时间",
    "answered" / Choice(Int8ub, ANSWERED) * "What it is the result of 应答类型",
    "id" / Int32ub * "The command's id, or the file's 命令编号",
    "status" / Choice(Int8ub, STATUSES) * "How it went 结果",
    "returned" / NAMED_VALUES * "Values that the command asked for 返回值",
)
GET_BODY = Struct(
    _DOWNLOAD,
    "offset" / Scaled(Int32ub, 1, "bytes") * "From where 偏移",
    "length" / Scaled(Int16ub, 1, "bytes") * "How many bytes at most 长度",
)
TIME_BODY = Struct("clock" / Stamp() * "The device's own clock, 0 if it has none 设备时间", _EXTRA)
EMPTY = Struct(_EXTRA)

ACK_RESULTS = {
    0: Option("stored", "Stored 已存储"),
    1: Option("refused", "Not stored: the device may not come in 拒绝"),
    2: Option("unread", "Stored, but could not be read whole; or part of a file longer than is kept 已存储但未能解析,或文件过大"),
}
ACK_BODY = Struct("result" / Choice(Int8ub, ACK_RESULTS) * "What became of the message of this sequence 结果", _EXTRA)
WELCOME_RESULTS = {0: Option("welcome", "The device may go on 允许"), 1: Option("refused", "It may not come in 拒绝")}
WELCOME_BODY = Struct(
    "result" / Choice(Int8ub, WELCOME_RESULTS) * "Whether the device may go on 结果",
    "version" / Int8ub * "Version of the protocol to speak from here on 协议版本",
    _PLATFORM_TIME,
    "payload" / Scaled(Int16ub, 1, "bytes") * "Longest payload that the device should send 最大发送长度",
    "window" / Int8ub * "How many messages may wait for their acks 窗口",
    "keep_alive" / Scaled(Int16ub, 1, "s") * "The device sends something at least this often 心跳间隔",
    "reason" / _SHORT_TEXT * "Why it may not come in, for people 原因",
    _EXTRA,
)
COMMAND_BODY = Struct(
    "id" / Int32ub * "Id, by which the result is told 命令编号",
    "name" / _SHORT_TEXT * "What to do 命令名称",
    "arguments" / NAMED_VALUES * "Arguments 参数",
)
NO_ID = bytes(4)
"""In a command that leaves out its id, until it leaves."""
CHUNK_BODY = Struct(
    _DOWNLOAD,
    "offset" / Scaled(Int32ub, 1, "bytes") * "Where in the file the bytes belong 偏移",
    "data" / GreedyBytes * "Bytes of the file; none if it is offered no more, or at its end 文件数据",
)
CHUNK_HEAD_BYTES = 8
TIME_ANSWER_BODY = Struct("clock" / Int64ub * "The device's clock, as it was told 设备时间", _PLATFORM_TIME, _EXTRA)
OFFER_BODY = Struct(
    _DOWNLOAD,
    "size" / Scaled(Int32ub, 1, "bytes") * "Its size 文件大小",
    "crc32" / Int32ub * "CRC-32 of all its bytes, as in zip 校验值",
    "name" / _SHORT_TEXT * "What it is for, such as firmware 文件名",
    "version" / _SHORT_TEXT * "Its version 版本",
    _EXTRA,
)


class Answer(Enum):
    """How the platform answers a message."""

    NONE = "none, it is an answer itself"
    ACK = "`0x80`, once it is stored"
    WELCOME = "`0x81`, once it is stored"
    TIME = "`0x89`, once it is stored"
    CHUNK = "`0x88`, at once; it is not stored"
    PONG = "`0x8A`, at once; it is not stored"


def _up(
    id: int, name: str, english: str, chinese: str, body: Struct, answer: Answer = Answer.ACK, is_last: bool = False
) -> MessageType:
    return MessageType(id, name, english, chinese, {EDITION: body}, Direction.UP, answer, ends_session=is_last)


def _down(
    id: int,
    name: str,
    english: str,
    chinese: str,
    body: Struct,
    answered_by: tuple[int, ...] = (),
    command: CommandRule | None = None,
) -> MessageType:
    return MessageType(id, name, english, chinese, {EDITION: body}, Direction.DOWN, Answer.NONE, answered_by, command=command)


# Which commands there are is the device's affair, and so is what they do.
_COMMAND_RULE = CommandRule(
    Effect.ACTUATE,
    form=(
        CommandField("name", "text, UTF-8", "", "What to do", "命令名称"),
        CommandField("arguments", "values by name", "", "Arguments: yes or no, numbers, texts", "参数", is_needed=False),
    ),
)


MESSAGES: Mapping[int, MessageType] = {
    row.id: row
    for row in (
        _up(HELLO, "hello", "The device says who it is", "登录", HELLO_BODY, Answer.WELCOME),
        _up(DESCRIBE, "describe", "Names of the device's own channels", "通道描述", DESCRIBE_BODY),
        _up(READINGS, "readings", "Readings of one or more moments", "读数上报", READINGS_BODY),
        _up(FILE_BEGIN, "file_begin", "A file follows", "文件开始", FILE_BEGIN_BODY),
        _up(FILE_DATA, "file_data", "Bytes of a file", "文件数据", FILE_DATA_BODY),
        _up(FILE_END, "file_end", "A file has been sent whole", "文件结束", FILE_END_BODY),
        _up(RESULT, "result", "Result of a command, or of a file that was offered", "命令结果", RESULT_BODY),
        _up(GET, "get", "Asks for bytes of an offered file", "请求文件数据", GET_BODY, Answer.CHUNK),
        _up(TIME, "time", "Asks what time it is", "时间查询", TIME_BODY, Answer.TIME),
        _up(PING, "ping", "The device is still there", "心跳", EMPTY, Answer.PONG),
        _up(BYE, "bye", "The device leaves", "登出", EMPTY, is_last=True),
        _down(ACK, "ack", "What became of a message", "应答", ACK_BODY),
        _down(WELCOME, "welcome", "Answer to hello", "登录应答", WELCOME_BODY),
        _down(COMMAND, "command", "Asks the device to do something", "命令", COMMAND_BODY, (RESULT,), _COMMAND_RULE),
        _down(CHUNK, "chunk", "Bytes of an offered file", "文件数据下发", CHUNK_BODY),
        _down(TIME_ANSWER, "time_answer", "What time it is", "时间应答", TIME_ANSWER_BODY),
        _down(PONG, "pong", "Answer to ping", "心跳应答", EMPTY),
        _down(OFFER, "offer", "Offers a file, such as firmware", "文件下发", OFFER_BODY, (GET, RESULT)),
    )
}
STORED = frozenset(row.id for row in MESSAGES.values() if row.answer in (Answer.ACK, Answer.WELCOME, Answer.TIME))
"""What becomes a message; the others are answered by the codec at once."""
HEAD = Struct(
    "version" / Int8ub * "Version that the link speaks 协议版本",
    "payload" / Scaled(Int16ub, 1, "bytes") * "Longest payload that the device can take 最大接收长度",
    "channels" / UntilEnd(CHANNEL_NAME) * "Names of the device's own channels, as the link has told them 通道列表",
)
"""What a login settles for the messages behind it."""
