"""Who is there: logins and logouts, heartbeat, time, activation of a chip and keys.

Source: GB/T 32960.3-2016, sections 7.2.1, 7.3 and 7.4, and annex B; GB/T 32960.3-2025, section 7 and annex B.
"""

from __future__ import annotations

from construct import Array, GreedyBytes, Int8ub, Int16ub, Prefixed, Struct, sum_, this

from protocols.body import read
from protocols.credential import Credential
from protocols.fields import Choice, Measured, Option, Secret, Text
from protocols.gb32960.header import ANSWER, CLEAR, ENCRYPTIONS
from protocols.gb32960.rows import EMPTY, ENCRYPTION, EXTRA, SIGNATURE, TIME, Answer, SizedText, both, counted, downlink, uplink
from protocols.message import Message
from protocols.report import DecodeError

VEHICLE_LOGIN = 0x01
VEHICLE_LOGOUT = 0x04
PLATFORM_LOGIN = 0x05
PLATFORM_LOGOUT = 0x06
HEARTBEAT = 0x07
TIME_SYNC = 0x08
ACTIVATION = 0x09
ACTIVATION_ANSWER = 0x0A
KEY_EXCHANGE = 0x0B

_LOGIN_TIME = "time" / TIME * "Collection time, GMT+8 数据采集时间"
_LOGIN_SERIAL = "login_serial" / Measured(Int16ub, highest=65531) * "Login serial, from 1 each day 登入流水号"
_ICCID = "iccid" / Text(20, "ascii") * "SIM card's ICCID ICCID号"
_PACK_CODE_BYTES = 24

_VEHICLE = Struct(_LOGIN_TIME, _LOGIN_SERIAL, _ICCID, EXTRA)
"""How a vehicle's login begins in both editions."""

VEHICLE_LOGIN_2016 = Struct(
    _LOGIN_TIME,
    _LOGIN_SERIAL,
    _ICCID,
    "pack_count" / Int8ub * "Number of storage subsystems 可充电储能子系统数",
    "code_bytes" / Int8ub * "Length of a system code, 0 if none are sent 可充电储能系统编码长度",
    "pack_codes"
    / Array(this.pack_count * (this.pack_count < 0xFE) * (this.code_bytes < 0xFE), SizedText(this.code_bytes))
    * "System codes 可充电储能系统编码",
    EXTRA,
)
VEHICLE_LOGIN_2025 = Struct(
    _LOGIN_TIME,
    _LOGIN_SERIAL,
    _ICCID,
    *counted(
        "pack_counts",
        "Packs by battery management system 电池管理系统对应动力蓄电池包个数",
        "Number of systems 电池管理系统数",
        Int8ub,
    ),
    "pack_codes" / Array(sum_(this.pack_counts), Text(_PACK_CODE_BYTES, "ascii")) * "Codes of the packs 动力蓄电池包编码",
    EXTRA,
)
_LOGOUT = Struct(
    "time" / TIME * "Logout time, GMT+8 登出时间",
    "login_serial" / Measured(Int16ub, highest=65531) * "Serial of the login that it ends 登出流水号",
    EXTRA,
)
PLATFORM_LOGIN_BODY = Struct(
    "time" / TIME * "Platform login time, GMT+8 平台登入时间",
    _LOGIN_SERIAL,
    "username" / Text(12) * "Platform user name 平台用户名",
    "password" / Secret(Text(20)) * "Platform password 平台密码",
    "encryption" / ENCRYPTION * "Encryption of the data units to come 加密规则",
    EXTRA,
)
_ACTIVATION = Struct(
    "time" / TIME * "Time, GMT+8 数据采集时间",
    "chip_id" / Text(16, "ascii") * "Chip id 芯片ID",
    "public_key" / Prefixed(Int16ub, GreedyBytes) * "Public key 公钥",
    "vin" / Text(17, "ascii") * "VIN 车辆识别代号",
    "signature" / SIGNATURE * "Signature 签名信息",
    EXTRA,
)
ACTIVATION_RESULT = Struct(
    "state" / Choice(Int8ub, {1: Option("success", "Success 成功"), 2: Option("failure", "Failure 失败")}) * "Result 激活状态",
    "reason"
    / Choice(
        Int8ub,
        {
            0: Option("none", "None 成功"),
            1: Option("already_activated", "Chip already activated 芯片已激活"),
            2: Option("vin_duplicate", "VIN duplicate VIN重复"),
        },
    )
    * "Reason 信息",
    EXTRA,
)
_KEY = Struct(
    "key_kind"
    / Choice(Int8ub, {code: option for code, option in ENCRYPTIONS.items() if 2 <= code <= 5})
    * "What the key is for 密钥类型",
    "key" / Secret(Prefixed(Int16ub, GreedyBytes)) * "Key 密钥",
    "valid_from" / TIME * "Valid from, GMT+8 启用时间",
    "valid_to" / TIME * "Valid to, GMT+8 失效时间",
    EXTRA,
)

ROWS = (
    uplink(
        VEHICLE_LOGIN,
        "vehicle_login",
        "Vehicle login",
        "车辆登入",
        {"2016": VEHICLE_LOGIN_2016, "2025": VEHICLE_LOGIN_2025},
        Answer.PLATFORM,
    ),
    uplink(VEHICLE_LOGOUT, "vehicle_logout", "Vehicle logout", "车辆登出", both(_LOGOUT), ends_session=True),
    uplink(PLATFORM_LOGIN, "platform_login", "Platform login", "平台登入", both(PLATFORM_LOGIN_BODY), Answer.PLATFORM),
    uplink(PLATFORM_LOGOUT, "platform_logout", "Platform logout", "平台登出", both(_LOGOUT), ends_session=True),
    uplink(HEARTBEAT, "heartbeat", "Heartbeat", "心跳", both(EMPTY), Answer.EMPTY),
    uplink(TIME_SYNC, "time_sync", "Terminal time sync", "终端校时", both(EMPTY), Answer.CLOCK),
    uplink(ACTIVATION, "activation", "Activation", "激活", {"2025": _ACTIVATION}, Answer.ACTIVATION),
    downlink(ACTIVATION_ANSWER, "activation_answer", "Activation answer", "激活应答", {"2025": ACTIVATION_RESULT}),
    uplink(KEY_EXCHANGE, "key_exchange", "Data unit key exchange", "数据单元加密密钥交换", {"2025": _KEY}, Answer.EMPTY),
    uplink(
        KEY_EXCHANGE | ANSWER,
        "key_exchange_answer",
        "Answer to a data unit key",
        "数据单元加密密钥交换应答",
        {"2025": EMPTY},
        Answer.NONE,
    ),
)


def credential(message: Message) -> Credential | None:
    """A vehicle's ICCID, or a platform's user name and password with a colon between.

    A platform that has logged in may forward vehicles, whose own logins it does not always repeat on each link. What is
    encrypted shows nothing.
    """
    if message.head[21] != CLEAR:
        return None
    try:
        if message.kind == PLATFORM_LOGIN:
            login = read(PLATFORM_LOGIN_BODY, message.body)
            return Credential(f"{login.username}:{login.password}", vouches=True)
        if message.kind == VEHICLE_LOGIN:
            iccid = str(read(_VEHICLE, message.body).iccid)
            return Credential(iccid) if iccid else None
    except DecodeError:
        return None
    return None
