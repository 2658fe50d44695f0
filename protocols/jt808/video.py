"""Signalling of audio and video (音视频信令). The streams themselves use links of their own.

Source: JT/T 1078-2016, chapter 5.
"""

from __future__ import annotations

from construct import Int8ub, Int16ub, Int32ub, Int64ub, Prefixed, Struct

from protocols.fields import BcdTime, Bit, Choice, Count, Flags, Option, Scaled, Secret, Text
from protocols.items import UntilEnd
from protocols.jt808.location import ALARMS_2019, VIDEO_ALARMS
from protocols.jt808.rows import ANSWERED_SEQUENCE, EMPTY, EXTRA, TERMINAL_GENERAL_RESPONSE, Answer, downlink, uplink

VIDEO_ATTRIBUTES = 0x1003
PASSENGER_FLOW = 0x1005
RESOURCE_LIST = 0x1205
FILE_UPLOAD_RESULT = 0x1206
QUERY_VIDEO_ATTRIBUTES = 0x9003
LIVE_VIDEO = 0x9101
LIVE_VIDEO_CONTROL = 0x9102
LIVE_VIDEO_STATUS = 0x9105
PLAYBACK = 0x9201
PLAYBACK_CONTROL = 0x9202
QUERY_RESOURCES = 0x9205
UPLOAD_FILES = 0x9206
FILE_UPLOAD_CONTROL = 0x9207
ROTATE_CAMERA = 0x9301
FOCUS_CAMERA = 0x9302
ADJUST_IRIS = 0x9303
CAMERA_WIPER = 0x9304
INFRARED_LIGHT = 0x9305
ZOOM_CAMERA = 0x9306

_RATES = {
    0: Option("khz_8", "8 kHz 采样率8kHz"),
    1: Option("khz_22", "22.05 kHz 采样率22.05kHz"),
    2: Option("khz_44", "44.1 kHz 采样率44.1kHz"),
    3: Option("khz_48", "48 kHz 采样率48kHz"),
}
_DEPTHS = {
    0: Option("bits_8", "8 bits 采样位数8位"),
    1: Option("bits_16", "16 bits 采样位数16位"),
    2: Option("bits_32", "32 bits 采样位数32位"),
}
_SUPPORT = {0: Option("no", "No 不支持"), 1: Option("yes", "Yes 支持")}
_MEDIA = {
    0: Option("audio_video", "Audio and video 音视频"),
    1: Option("audio", "Audio 音频"),
    2: Option("video", "Video 视频"),
    3: Option("either", "Audio or video 音频或视频"),
}
_STREAMS = {0: Option("all", "Any 所有码流"), 1: Option("main", "Main stream 主码流"), 2: Option("sub", "Sub-stream 子码流")}
_LIVE_STREAMS = {0: Option("main", "Main stream 主码流"), 1: Option("sub", "Sub-stream 子码流")}
_STORES = {
    0: Option("all", "Any 所有存储器"),
    1: Option("main", "Main store 主存储器"),
    2: Option("backup", "Backup store 灾备存储器"),
}
_LIVE_DATA = {
    0: Option("audio_video", "Audio and video 音视频"),
    1: Option("video", "Video 视频"),
    2: Option("talk", "Talk both ways 双向对讲"),
    3: Option("listen", "Listen 监听"),
    4: Option("broadcast", "Broadcast 中心广播"),
    5: Option("transparent", "Transparent 透传"),
}
_LIVE_COMMANDS = {
    0: Option("close", "Close 关闭音视频传输"),
    1: Option("switch", "Switch the stream 切换码流"),
    2: Option("pause", "Pause 暂停"),
    3: Option("resume", "Resume 恢复"),
    4: Option("close_talk", "Close the talk 关闭双向对讲"),
}
_CLOSED = {
    0: Option("all", "Audio and video 关闭该通道有关的音视频数据"),
    1: Option("audio", "Audio only 只关闭音频"),
    2: Option("video", "Video only 只关闭视频"),
}
_PLAYBACKS = {
    0: Option("normal", "Normal 正常回放"),
    1: Option("fast", "Fast forward 快进回放"),
    2: Option("rewind", "Key frames backwards 关键帧快退回放"),
    3: Option("key_frames", "Key frames 关键帧播放"),
    4: Option("single_frame", "Single frame 单帧上传"),
}
_PLAYBACK_COMMANDS = {
    0: Option("start", "Start 开始回放"),
    1: Option("pause", "Pause 暂停回放"),
    2: Option("stop", "Stop 结束回放"),
    3: Option("fast", "Fast forward 快进回放"),
    4: Option("rewind", "Key frames backwards 关键帧快退回放"),
    5: Option("drag", "Go to a time 拖动回放"),
    6: Option("key_frames", "Key frames 关键帧播放"),
}
_SPEEDS = {0: Option("none", "Of no meaning 无效")} | {
    number: Option(f"x{times}", f"{times} times {times}倍") for number, times in enumerate((1, 2, 4, 8, 16), 1)
}
_UPLOAD_CONDITIONS = {
    0: Bit("wifi", "Over WLAN WIFI下可下载"),
    1: Bit("lan", "Over LAN LAN连接时可下载"),
    2: Bit("mobile", "Over the mobile network 3G/4G连接时可下载"),
}
_UPLOAD_CONTROLS = {0: Option("pause", "Pause 暂停"), 1: Option("resume", "Resume 继续"), 2: Option("cancel", "Cancel 取消")}
_UPLOAD_RESULTS = {0: Option("success", "Success 成功"), 1: Option("failure", "Failure 失败")}
_ROTATIONS = {
    0: Option("stop", "Stop 停止"),
    1: Option("up", "Up 上"),
    2: Option("down", "Down 下"),
    3: Option("left", "Left 左"),
    4: Option("right", "Right 右"),
}
_SIZES = {0: Option("larger", "Larger 调大"), 1: Option("smaller", "Smaller 调小")}
_SWITCHES = {0: Option("stop", "Stop 停止"), 1: Option("start", "Start 启动")}
_ALL_ALARMS = ALARMS_2019 | {at + 32: bit for at, bit in VIDEO_ALARMS.items()}

_CHANNEL = "channel" / Int8ub * "Logical channel 逻辑通道号"
_MEDIUM = "media_type" / Choice(Int8ub, _MEDIA) * "Type of the media 音视频资源类型"
_STREAM = "stream" / Choice(Int8ub, _STREAMS) * "Stream 码流类型"
_STORE = "store" / Choice(Int8ub, _STORES) * "Store 存储器类型"
_START = "start_time" / BcdTime(8) * "From, GMT+8 开始时间"
_END = "end_time" / BcdTime(8) * "To, GMT+8 结束时间"
_ALARMS = "alarms" / Flags(Int64ub, _ALL_ALARMS) * "Alarms, none for all 报警标志"
_SERVER = (
    "address" / Prefixed(Int8ub, Text()) * "Server's address 服务器IP地址",
    "tcp_port" / Int16ub * "Server's TCP port 服务器TCP端口号",
    "udp_port" / Int16ub * "Server's UDP port 服务器UDP端口号",
)
_SPEED = "speed" / Choice(Int8ub, _SPEEDS) * "Speed of the playback 快进或快退倍数"

_VIDEO_ATTRIBUTES = Struct(
    "audio_encoding" / Int8ub * "Audio encoding, by table 12 输入音频编码方式",
    "audio_channels" / Int8ub * "Audio channels 输入音频声道数",
    "sampling" / Choice(Int8ub, _RATES) * "Sampling rate 输入音频采样率",
    "sampling_depth" / Choice(Int8ub, _DEPTHS) * "Bits of a sample 输入音频采样位数",
    "frame_bytes" / Scaled(Int16ub, 1, "bytes") * "Size of an audio frame 音频帧长度",
    "audio_output" / Choice(Int8ub, _SUPPORT) * "Audio output 是否支持音频输出",
    "video_encoding" / Int8ub * "Video encoding, by table 12 视频编码方式",
    "most_audio_channels" / Int8ub * "Audio channels at most 终端支持的最大音频物理通道数量",
    "most_video_channels" / Int8ub * "Video channels at most 终端支持的最大视频物理通道数量",
    EXTRA,
)
_PASSENGER_FLOW = Struct(
    _START,
    _END,
    "boarded" / Int16ub * "Passengers who got on 上车人数",
    "alighted" / Int16ub * "Passengers who got off 下车人数",
    EXTRA,
)
_RESOURCE_LIST = Struct(
    ANSWERED_SEQUENCE,
    "count" / Count(Int32ub, "resources") * "Number of resources 音视频资源总数",
    "resources"
    / UntilEnd(
        Struct(
            _CHANNEL,
            _START,
            _END,
            _ALARMS,
            _MEDIUM,
            _STREAM,
            _STORE,
            "size_bytes" / Scaled(Int32ub, 1, "bytes") * "Size of the file 文件大小",
        )
    )
    * "Resources 音视频资源列表",
)
_FILE_UPLOAD_RESULT = Struct(ANSWERED_SEQUENCE, "result" / Choice(Int8ub, _UPLOAD_RESULTS) * "Result 结果", EXTRA)
_LIVE_VIDEO = Struct(
    *_SERVER,
    _CHANNEL,
    "data_type" / Choice(Int8ub, _LIVE_DATA) * "What is sent 数据类型",
    "stream" / Choice(Int8ub, _LIVE_STREAMS) * "Stream 码流类型",
    EXTRA,
)
_LIVE_VIDEO_CONTROL = Struct(
    _CHANNEL,
    "command" / Choice(Int8ub, _LIVE_COMMANDS) * "Command 控制指令",
    "closed" / Choice(Int8ub, _CLOSED) * "What is closed 关闭音视频类型",
    "stream" / Choice(Int8ub, _LIVE_STREAMS) * "Stream to switch to 切换码流类型",
    EXTRA,
)
_LIVE_VIDEO_STATUS = Struct(_CHANNEL, "loss_percent" / Scaled(Int8ub, 1, "%") * "Packets lost 丢包率", EXTRA)
_PLAYBACK = Struct(
    *_SERVER,
    _CHANNEL,
    _MEDIUM,
    _STREAM,
    _STORE,
    "playback" / Choice(Int8ub, _PLAYBACKS) * "How it is played back 回放方式",
    _SPEED,
    _START,
    _END,
    EXTRA,
)
_PLAYBACK_CONTROL = Struct(
    _CHANNEL,
    "command" / Choice(Int8ub, _PLAYBACK_COMMANDS) * "Command 回放控制",
    _SPEED,
    "time" / BcdTime(8) * "Time to go to, GMT+8 拖动回放位置",
    EXTRA,
)
_QUERY_RESOURCES = Struct(
    "channel" / Int8ub * "Logical channel, 0 for all 逻辑通道号", _START, _END, _ALARMS, _MEDIUM, _STREAM, _STORE, EXTRA
)
_UPLOAD_FILES = Struct(
    "address" / Prefixed(Int8ub, Text()) * "FTP server's address FTP服务器地址",
    "port" / Int16ub * "FTP server's port 端口",
    "user" / Prefixed(Int8ub, Text()) * "User 用户名",
    "password" / Secret(Prefixed(Int8ub, Text())) * "Password 密码",
    "path" / Prefixed(Int8ub, Text()) * "Where the files go 文件上传路径",
    _CHANNEL,
    _START,
    _END,
    _ALARMS,
    _MEDIUM,
    _STREAM,
    _STORE,
    "conditions" / Flags(Int8ub, _UPLOAD_CONDITIONS) * "When it may be done 任务执行条件",
    EXTRA,
)
_FILE_UPLOAD_CONTROL = Struct(
    ANSWERED_SEQUENCE, "control" / Choice(Int8ub, _UPLOAD_CONTROLS) * "What to do with the upload 上传控制", EXTRA
)
_ROTATE_CAMERA = Struct(
    _CHANNEL,
    "direction" / Choice(Int8ub, _ROTATIONS) * "Direction 方向",
    "speed" / Int8ub * "Speed, 0 to 255 速度",
    EXTRA,
)
_ADJUSTMENT = Struct(_CHANNEL, "change" / Choice(Int8ub, _SIZES) * "Larger or smaller 调整方向", EXTRA)
_SWITCH = Struct(_CHANNEL, "command" / Choice(Int8ub, _SWITCHES) * "Stop or start 启停标识", EXTRA)

ROWS = (
    uplink(
        VIDEO_ATTRIBUTES,
        "video_attributes",
        "Audio and video attributes",
        "终端上传音视频属性",
        {"2016": _VIDEO_ATTRIBUTES},
        Answer.NONE,
    ),
    uplink(PASSENGER_FLOW, "passenger_flow", "Passenger flow", "终端上传乘客流量", {"2016": _PASSENGER_FLOW}),
    uplink(RESOURCE_LIST, "resource_list", "Resource list", "终端上传音视频资源列表", {"2016": _RESOURCE_LIST}, Answer.NONE),
    # It has the serial number of what it answers; nothing in the text asks for an answer to it.
    uplink(
        FILE_UPLOAD_RESULT,
        "file_upload_result",
        "File upload finished",
        "文件上传完成通知",
        {"2016": _FILE_UPLOAD_RESULT},
        Answer.NONE,
    ),
    downlink(
        QUERY_VIDEO_ATTRIBUTES,
        "query_video_attributes",
        "Query audio and video attributes",
        "查询终端音视频属性",
        {"2016": EMPTY},
        (VIDEO_ATTRIBUTES,),
    ),
    downlink(LIVE_VIDEO, "live_video", "Real-time stream request", "实时音视频传输请求", {"2016": _LIVE_VIDEO}),
    downlink(
        LIVE_VIDEO_CONTROL, "live_video_control", "Real-time stream control", "音视频实时传输控制", {"2016": _LIVE_VIDEO_CONTROL}
    ),
    downlink(
        LIVE_VIDEO_STATUS, "live_video_status", "Stream status notice", "实时音视频传输状态通知", {"2016": _LIVE_VIDEO_STATUS}
    ),
    downlink(PLAYBACK, "playback", "Playback request", "平台下发远程录像回放请求", {"2016": _PLAYBACK}, (RESOURCE_LIST,)),
    downlink(PLAYBACK_CONTROL, "playback_control", "Playback control", "平台下发远程录像回放控制", {"2016": _PLAYBACK_CONTROL}),
    downlink(
        QUERY_RESOURCES, "query_resources", "Query resource list", "查询资源列表", {"2016": _QUERY_RESOURCES}, (RESOURCE_LIST,)
    ),
    downlink(
        UPLOAD_FILES,
        "upload_files",
        "File upload by FTP",
        "文件上传指令",
        {"2016": _UPLOAD_FILES},
        (TERMINAL_GENERAL_RESPONSE, FILE_UPLOAD_RESULT),
    ),
    downlink(FILE_UPLOAD_CONTROL, "file_upload_control", "File upload control", "文件上传控制", {"2016": _FILE_UPLOAD_CONTROL}),
    downlink(ROTATE_CAMERA, "rotate_camera", "Rotate the camera", "云台旋转", {"2016": _ROTATE_CAMERA}),
    downlink(FOCUS_CAMERA, "focus_camera", "Focus the camera", "云台调整焦距控制", {"2016": _ADJUSTMENT}),
    downlink(ADJUST_IRIS, "adjust_iris", "Adjust the iris", "云台调整光圈控制", {"2016": _ADJUSTMENT}),
    downlink(CAMERA_WIPER, "camera_wiper", "Camera wiper", "云台雨刷控制", {"2016": _SWITCH}),
    downlink(INFRARED_LIGHT, "infrared_light", "Infrared fill light", "红外补光控制", {"2016": _SWITCH}),
    downlink(ZOOM_CAMERA, "zoom_camera", "Zoom the camera", "云台变倍控制", {"2016": _ADJUSTMENT}),
)
