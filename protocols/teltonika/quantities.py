"""What the values of IO properties are made of, beside the fields that all protocols share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from construct import Bytes, Int8sb, Int8ub, Int16sb, Int16ub, Int32sb, Int32ub

from protocols.fields import Adapted, Choice, Declaration, Measured, Option, Scaled

if TYPE_CHECKING:
    from construct.core import Context


class YesNo(Adapted):
    """0 for no, 1 for yes; any other number stays one."""

    def _decode(self, obj: int, context: Context, path: str) -> bool | int:
        return bool(obj) if obj < 2 else obj

    def _encode(self, obj: bool | int, context: Context, path: str) -> int:
        return int(obj)


class Hex(Adapted):
    """Eight bytes that are no number but a mark: 16 hexadecimal digits. All zeros are none, and None."""

    def __init__(self) -> None:
        super().__init__(Bytes(8))

    def _decode(self, obj: bytes, context: Context, path: str) -> str | None:
        return obj.hex().upper() if any(obj) else None

    def _encode(self, obj: str | None, context: Context, path: str) -> bytes:
        return bytes.fromhex(obj or "00" * 8)


class Digits(Adapted):
    """A number of eight bytes that stands for its decimal digits; as text, for it may have more than JSON's numbers keep."""

    def __init__(self) -> None:
        super().__init__(Bytes(8))

    def _decode(self, obj: bytes, context: Context, path: str) -> str:
        return str(int.from_bytes(obj, "big"))

    def _encode(self, obj: str, context: Context, path: str) -> bytes:
        return int(obj).to_bytes(8, "big")


class Alcohol(Adapted):
    """Blood alcohol in per mille: 14 bits of thousandths above two of a test mode.

    Shape: the per mille and the mode.
    """

    def _decode(self, obj: int, context: Context, path: str) -> tuple[float, int]:
        return (obj >> 2) / 1000, obj & 3

    def _encode(self, obj: tuple[float, int], context: Context, path: str) -> int:
        return round(obj[0] * 1000) << 2 | obj[1]


def u8(divisor: int, unit: str) -> Scaled:
    return Scaled(Int8ub, divisor, unit)


def u16(divisor: int, unit: str) -> Scaled:
    return Scaled(Int16ub, divisor, unit)


def u32(divisor: int, unit: str) -> Scaled:
    return Scaled(Int32ub, divisor, unit)


def s8(divisor: int, unit: str) -> Scaled:
    return Scaled(Int8sb, divisor, unit)


def s16(divisor: int, unit: str) -> Scaled:
    return Scaled(Int16sb, divisor, unit)


def ratio(subcon: Declaration, divisor: int) -> Measured:
    """A number without a unit."""
    return Measured(subcon, divisor, words={})


def words(subcon: Declaration, *options: Option | None) -> Choice:
    """A choice of words for the numbers from 0 on; None for a number that means nothing."""
    return Choice(subcon, {number: option for number, option in enumerate(options) if option is not None})


YES_NO = YesNo(Int8ub)
HEX = Hex()
DIGITS = Digits()
PERCENT = u8(1, "%")
VOLTS = u16(1000, "V")
_OLD_FAULTS = {2000: "parse_failure", 3000: "not_found", 4000: "abnormal"}
"""Of firmware before 03.28. Newer ones may mean 20, 30 and 40 degrees, which nobody can tell from a broken sensor."""
BLE_TEMPERATURE = Measured(Int16sb, 100, "°C", words=_OLD_FAULTS | {32766: "parse_failure", 32767: "not_found", 32765: "abnormal"})
BLE_HUMIDITY = Measured(Int16ub, 10, "%", words={32735: "not_found", 32734: "parse_failure", 32733: "abnormal"})
_DALLAS_FAULTS = {850: "not_ready", 2000: "read_error", 3000: "not_connected", 4000: "id_failed", 5000: "not_ready"}
DALLAS_TEMPERATURE = Measured(Int32sb, 10, "°C", words=_DALLAS_FAULTS)
DALLAS_TEMPERATURE_SHORT = Measured(Int16sb, 10, "°C", words=_DALLAS_FAULTS)
GEOFENCE = words(
    Int8ub,
    Option("left", "Left 离开"),
    Option("entered", "Entered 进入"),
    Option("overspeed_end", "Over-speeding in it ended 区内超速结束"),
    Option("overspeed_start", "Over-speeding in it began 区内超速开始"),
)
DATA_MODE = words(
    Int8ub,
    Option("home_stop", "Home network, standing 本网静止"),
    Option("home_moving", "Home network, moving 本网行驶"),
    Option("roaming_stop", "Roaming, standing 漫游静止"),
    Option("roaming_moving", "Roaming, moving 漫游行驶"),
    Option("unknown_stop", "Unknown network, standing 未知网络静止"),
    Option("unknown_moving", "Unknown network, moving 未知网络行驶"),
)
NETWORK_TYPE = Choice(
    Int8ub,
    {
        0: Option("3g", "3G 第三代"),
        1: Option("gsm", "GSM 第二代"),
        2: Option("4g", "4G 第四代"),
        3: Option("cat_m1", "LTE Cat M1 增强机器类"),
        4: Option("nb1", "LTE Cat NB1 窄带"),
        99: Option("unknown", "Unknown 未知"),
    },
)
