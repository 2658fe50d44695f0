"""Multimedia, transparent data and keys (多媒体、透传、加密类).

Source: JT/T 808-2011, JT/T 808-2013 and JT/T 808-2019, sections 8.51 to 8.65.
"""

from __future__ import annotations

from construct import Array, Bytes, GreedyBytes, Int8ub, Int16ub, Int32ub, Struct, this

from protocols.fields import BcdTime, Choice, Count, Declaration, Option, Scaled, Secret
from protocols.items import UntilEnd
from protocols.jt808.location import BASIC_2013, BASIC_2019
from protocols.jt808.rows import ANSWERED_SEQUENCE, EXTRA, TERMINAL_GENERAL_RESPONSE, Answer, downlink, uplink

MULTIMEDIA_EVENT = 0x0800
MULTIMEDIA_DATA = 0x0801
MULTIMEDIA_SEARCH_RESPONSE = 0x0802
CAMERA_SHOT_RESPONSE = 0x0805
TRANSPARENT_DATA = 0x0900
COMPRESSED_DATA = 0x0901
TERMINAL_KEY = 0x0A00
MULTIMEDIA_RESPONSE = 0x8800
CAMERA_SHOT = 0x8801
SEARCH_MULTIMEDIA = 0x8802
UPLOAD_MULTIMEDIA = 0x8803
RECORD_AUDIO = 0x8804
UPLOAD_SINGLE_MULTIMEDIA = 0x8805
PLATFORM_TRANSPARENT_DATA = 0x8900
PLATFORM_KEY = 0x8A00

_TYPES = {0: Option("image", "Image 图像"), 1: Option("audio", "Audio 音频"), 2: Option("video", "Video 视频")}
_FORMATS = {number: Option(name.lower(), f"{name} {name}格式") for number, name in enumerate(("JPEG", "TIF", "MP3", "WAV", "WMV"))}
_EVENTS = {
    0: Option("platform_command", "Platform command 平台下发指令"),
    1: Option("timed", "Timed 定时动作"),
    2: Option("robbery_alarm", "Robbery alarm 抢劫报警触发"),
    3: Option("collision_or_rollover", "Collision or rollover 碰撞侧翻报警触发"),
    4: Option("door_opened", "Door opened 门开拍照"),
    5: Option("door_closed", "Door closed 门关拍照"),
    6: Option("door_closed_speeding_up", "Door closed, past 20 km/h 车门由开变关,车速从小于20公里到超过20公里"),
    7: Option("distance", "By distance 定距拍照"),
}
_SHOT_RESULTS = {
    0: Option("success", "Success 成功"),
    1: Option("failure", "Failure 失败"),
    2: Option("channel_unsupported", "Channel not supported 通道不支持"),
}
_SHOTS = {0x0000: Option("stop", "Stop 停止拍摄"), 0xFFFF: Option("record", "Record video 录像")}
_SAVED = {0: Option("upload", "Upload at once 实时上传"), 1: Option("store", "Store 保存")}
_RESOLUTIONS = {
    0: Option("lowest", "Lowest, since 2019 最低分辨率"),
    1: Option("r320x240", "320x240 分辨率"),
    2: Option("r640x480", "640x480 分辨率"),
    3: Option("r800x600", "800x600 分辨率"),
    4: Option("r1024x768", "1024x768 分辨率"),
    5: Option("r176x144", "176x144, QCIF 分辨率"),
    6: Option("r352x288", "352x288, CIF 分辨率"),
    7: Option("r704x288", "704x288, half D1 分辨率"),
    8: Option("r704x576", "704x576, D1 分辨率"),
    0xFF: Option("highest", "Highest, since 2019 最高分辨率"),
}
_DELETIONS = {0: Option("keep", "Keep 保留"), 1: Option("delete", "Delete 删除")}
_RECORDINGS = {0: Option("stop", "Stop 停止录音"), 1: Option("start", "Start 开始录音")}
_SAMPLINGS = {number: Option(f"khz_{rate}", f"{rate} kHz 采样率{rate}K") for number, rate in enumerate((8, 11, 23, 32))}
_TRANSPARENT_TYPES = {
    0x00: Option("gnss", "GNSS detail data GNSS模块详细定位数据"),
    0x0B: Option("ic_card", "IC card data 道路运输证IC卡信息"),
    0x41: Option("serial_1", "Serial port 1 串口1透传"),
    0x42: Option("serial_2", "Serial port 2 串口2透传"),
    0xF7: Option("peripheral_state", "State of peripherals, T/JSATL 12 外设状态信息"),
    0xF8: Option("peripheral_information", "Peripherals, T/JSATL 12 外设系统信息"),
}

_MEDIA_ID = "media_id" / Int32ub * "Multimedia id 多媒体数据ID"
_MEDIA_TYPE = "media_type" / Choice(Int8ub, _TYPES) * "Type 多媒体类型"
_FORMAT = "format" / Choice(Int8ub, _FORMATS) * "Format 多媒体格式编码"
_EVENT = "event" / Choice(Int8ub, _EVENTS) * "What made it happen 事件项编码"
_CHANNEL = "channel" / Int8ub * "Channel 通道ID"
_HEAD = (_MEDIA_ID, _MEDIA_TYPE, _FORMAT, _EVENT, _CHANNEL)
_DATA = "data" / GreedyBytes * "Data 多媒体数据包"
_HEAD_BYTES, _LOCATION_BYTES = 8, 28
_JPEG_BEGINNING = b"\xff\xd8"


def _located(location: Struct) -> Declaration:
    return "location" / location * "Where it was 位置信息汇报"


_EVENT_UPLOAD = Struct(*_HEAD, EXTRA)
_DATA_2011 = Struct(*_HEAD, _DATA)
_DATA_2013 = Struct(*_HEAD, _located(BASIC_2013), _DATA)
_DATA_2019 = Struct(*_HEAD, _located(BASIC_2019), _DATA)


def _data_layout(body: bytes, is_2019: bool) -> Struct:
    """2011 has no location: too short for one, or a picture begins in its place."""
    if len(body) < _HEAD_BYTES + _LOCATION_BYTES or body[_HEAD_BYTES:].startswith(_JPEG_BEGINNING):
        return _DATA_2011
    return _DATA_2019 if is_2019 else _DATA_2013


def _search_response(*item: Declaration) -> Struct:
    return Struct(
        ANSWERED_SEQUENCE,
        "count" / Count(Int16ub, "items") * "Number of items 多媒体数据总项数",
        "items" / UntilEnd(Struct(*item)) * "Items 检索项",
    )


_SEARCH_RESPONSE_2011 = _search_response(_MEDIA_TYPE, _CHANNEL, _EVENT, _located(BASIC_2013))
_SEARCH_RESPONSE_2013 = _search_response(_MEDIA_ID, _MEDIA_TYPE, _CHANNEL, _EVENT, _located(BASIC_2013))
_SEARCH_RESPONSE_2019 = _search_response(_MEDIA_ID, _MEDIA_TYPE, _CHANNEL, _EVENT, _located(BASIC_2019))
_ITEM_BYTES_2011 = 31


def _search_response_layout(body: bytes, is_2019: bool) -> Struct:
    """2011 has no media id: its items are shorter."""
    count = int.from_bytes(body[2:4], "big")
    if count and len(body) == 4 + count * _ITEM_BYTES_2011:
        return _SEARCH_RESPONSE_2011
    return _SEARCH_RESPONSE_2019 if is_2019 else _SEARCH_RESPONSE_2013


_SHOT_RESULT = "result" / Choice(Int8ub, _SHOT_RESULTS) * "Result 结果"
_SHOT_RESPONSE = Struct(
    ANSWERED_SEQUENCE,
    _SHOT_RESULT,
    "count" / Count(Int16ub, "media_ids") * "Number of media 多媒体ID个数",
    "media_ids" / UntilEnd(Int32ub) * "Multimedia ids 多媒体ID列表",
)
_SHOT_FAILED = Struct(ANSWERED_SEQUENCE, _SHOT_RESULT, EXTRA)
_SHOT_IDS_AT = 5


def _shot_response_layout(body: bytes, is_2019: bool) -> Struct:
    """Only a shot that was made has ids."""
    return _SHOT_RESPONSE if len(body) >= _SHOT_IDS_AT else _SHOT_FAILED


_RESPONSE_COMPLETE = Struct(_MEDIA_ID)
_RESPONSE = Struct(
    _MEDIA_ID,
    "count" / Count(Int8ub, "indexes") * "Sub-packets wanted 重传包总数",
    "indexes" / Array(this.count, Int16ub) * "Sub-packets wanted, from 1 重传包ID列表",
    EXTRA,
)


def _response_layout(body: bytes, is_2019: bool) -> Struct:
    """Nothing more than the id says that the data is complete; in 2011 a count of zero does."""
    return _RESPONSE if len(body) > 4 else _RESPONSE_COMPLETE


_CAMERA_SHOT = Struct(
    _CHANNEL,
    "command" / Choice(Int16ub, _SHOTS) * "Stop, record, or how many pictures 拍摄命令",
    "interval_s" / Scaled(Int16ub, 1, "s") * "Between pictures, or of video; 0 shortest or endless 拍照间隔/录像时间",
    "save" / Choice(Int8ub, _SAVED) * "Store or upload 保存标志",
    "resolution" / Choice(Int8ub, _RESOLUTIONS) * "Resolution 分辨率",
    "quality" / Int8ub * "Quality, 1 the best to 10 图像/视频质量",
    "brightness" / Int8ub * "Brightness, 0 to 255 亮度",
    "contrast" / Int8ub * "Contrast, 0 to 127 对比度",
    "saturation" / Int8ub * "Saturation, 0 to 127 饱和度",
    "chroma" / Int8ub * "Chroma, 0 to 255 色度",
    EXTRA,
)
_SEARCH = (
    _MEDIA_TYPE,
    "channel" / Int8ub * "Channel, 0 for all 通道ID",
    _EVENT,
    "start_time" / BcdTime(8) * "From, GMT+8; zeros for any time 起始时间",
    "end_time" / BcdTime(8) * "To, GMT+8; zeros for any time 结束时间",
)
_DELETION = "deletion" / Choice(Int8ub, _DELETIONS) * "Keep or delete 删除标志"
_RECORD_AUDIO = Struct(
    "command" / Choice(Int8ub, _RECORDINGS) * "Stop or start 录音命令",
    "duration_s" / Scaled(Int16ub, 1, "s") * "How long, 0 endless 录音时间",
    "save" / Choice(Int8ub, _SAVED) * "Store or upload 保存标志",
    "sampling" / Choice(Int8ub, _SAMPLINGS) * "Sampling rate 音频采样率",
    EXTRA,
)
_TRANSPARENT = Struct(
    "transparent_type" / Choice(Int8ub, _TRANSPARENT_TYPES) * "Type, 0xF0 and up users' own 透传消息类型",
    "data" / GreedyBytes * "Content 透传消息内容",
)
_COMPRESSED = Struct(
    "size_bytes" / Scaled(Int32ub, 1, "bytes") * "Size 压缩消息长度",
    "data" / GreedyBytes * "Data, by gzip 压缩消息体",
)
_KEY = Struct(
    "exponent" / Secret(Int32ub) * "e of the RSA key RSA公钥e",
    "modulus" / Secret(Bytes(128)) * "n of the RSA key RSA公钥n",
    EXTRA,
)

ROWS = (
    uplink(MULTIMEDIA_EVENT, "multimedia_event", "Multimedia event upload", "多媒体事件信息上传", {"2011": _EVENT_UPLOAD}),
    uplink(
        MULTIMEDIA_DATA,
        "multimedia_data",
        "Multimedia data upload",
        "多媒体数据上传",
        {"2011": _DATA_2011, "2013": _DATA_2013, "2019": _DATA_2019},
        Answer.MULTIMEDIA,
        _data_layout,
    ),
    uplink(
        MULTIMEDIA_SEARCH_RESPONSE,
        "multimedia_search_response",
        "Stored multimedia search response",
        "存储多媒体数据检索应答",
        {"2011": _SEARCH_RESPONSE_2011, "2013": _SEARCH_RESPONSE_2013, "2019": _SEARCH_RESPONSE_2019},
        Answer.NONE,
        _search_response_layout,
    ),
    uplink(
        CAMERA_SHOT_RESPONSE,
        "camera_shot_response",
        "Camera shot response",
        "摄像头立即拍摄命令应答",
        {"2013": _SHOT_RESPONSE, "2013 failed": _SHOT_FAILED},
        Answer.NONE,
        _shot_response_layout,
    ),
    uplink(TRANSPARENT_DATA, "transparent_data", "Uplink transparent data", "数据上行透传", {"2011": _TRANSPARENT}),
    uplink(COMPRESSED_DATA, "compressed_data", "Compressed data report", "数据压缩上报", {"2011": _COMPRESSED}),
    uplink(TERMINAL_KEY, "terminal_key", "Terminal RSA public key", "终端RSA公钥", {"2011": _KEY}, Answer.KEY),
    downlink(
        MULTIMEDIA_RESPONSE,
        "multimedia_response",
        "Multimedia upload response",
        "多媒体数据上传应答",
        {"2011": _RESPONSE, "2011 complete": _RESPONSE_COMPLETE},
        (),
        _response_layout,
    ),
    downlink(
        CAMERA_SHOT,
        "camera_shot",
        "Camera shot command",
        "摄像头立即拍摄命令",
        {"2011": _CAMERA_SHOT},
        (TERMINAL_GENERAL_RESPONSE, CAMERA_SHOT_RESPONSE),
    ),
    downlink(
        SEARCH_MULTIMEDIA,
        "search_multimedia",
        "Stored multimedia search",
        "存储多媒体数据检索",
        {"2011": Struct(*_SEARCH, EXTRA)},
        (MULTIMEDIA_SEARCH_RESPONSE,),
    ),
    downlink(
        UPLOAD_MULTIMEDIA,
        "upload_multimedia",
        "Stored multimedia upload",
        "存储多媒体数据上传命令",
        {"2011": Struct(*_SEARCH, _DELETION, EXTRA)},
        (TERMINAL_GENERAL_RESPONSE, MULTIMEDIA_DATA),
    ),
    downlink(RECORD_AUDIO, "record_audio", "Audio recording command", "录音开始命令", {"2011": _RECORD_AUDIO}),
    downlink(
        UPLOAD_SINGLE_MULTIMEDIA,
        "upload_single_multimedia",
        "Single stored multimedia upload",
        "单条存储多媒体数据检索上传命令",
        {"2013": Struct(_MEDIA_ID, _DELETION, EXTRA)},
        (TERMINAL_GENERAL_RESPONSE, MULTIMEDIA_DATA),
    ),
    downlink(
        PLATFORM_TRANSPARENT_DATA,
        "platform_transparent_data",
        "Downlink transparent data",
        "数据下行透传",
        {"2011": _TRANSPARENT},
    ),
    downlink(PLATFORM_KEY, "platform_key", "Platform RSA public key", "平台RSA公钥", {"2011": _KEY}, (TERMINAL_KEY,)),
)
