"""What values are called and measured in, wherever their names come from."""

from __future__ import annotations

from decimal import Decimal

import pytest
from construct import If as When
from construct import Int8ub, Int16ub, Struct, this

from protocols.catalogue import CATALOGUE, UNITS, Entry
from protocols.fields import Bit, Flags, Scaled
from protocols.items import Items
from protocols.message import Message
from protocols.native import NATIVE
from protocols.native.channels import CHANNELS
from protocols.protocol import DeviceProtocol
from protocols.registry import PROTOCOLS
from protocols.vocabulary import declared, entry, vocabulary
from tests.protocols.captures import captures
from tests.tasks.fakes import FAKE

TOLD_BY_NO_DECLARATION = {
    **{"gt06": {"is_imei_valid", "alarm_state", "alarm_code", "zone_minutes"}},
    **{"gb32960": {"braking", "extremes", "custom", "reissued", "unread"}},
    **{"modbus": {"is", "conformity", "more", "next", "count"}},
}
"""What is made while decoding."""


def reported(protocol: DeviceProtocol) -> set[str]:
    """The names of all values that the captured frames make."""
    names: set[str] = set()
    for capture in captures(protocol.name):
        codec = protocol.codec(str(capture.get("identity") or capture.get("phone") or "123456789012345"))
        for event in codec.receive(capture["frame"], 0.0):
            if isinstance(event, Message):
                names |= {name for report in protocol.decode(event).reports for name in report.values}
    return names


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_what_captured_frames_report_is_called_something(protocol: DeviceProtocol) -> None:
    words = vocabulary(protocol)
    without = {name for name in reported(protocol) if not entry(name, words).english}
    numbered = {name for name in without if name.startswith(("io_", "channel_"))}
    assert without - numbered == TOLD_BY_NO_DECLARATION.get(protocol.name, set())


def test_names_are_found_wherever_a_declaration_has_them() -> None:
    layout = Struct(
        "state" / Flags(Int8ub, {0: Bit("door", "Door 门")}) * "State word 状态字",
        "depth" / When(this.state, Scaled(Int16ub, 10, "m")) * "Depth; 0 without a probe 深度",
        "items" / Items({1: ("gas_ppm" / Scaled(Int16ub, 1, "ppm") * "Gas 气体",)}) * "Items 项",
        "inner" / Struct("level" / Scaled(Int8ub, 1, "%") * "Level 液位") * "Inside 内部",
    )
    found = declared([layout])
    assert found["door"] == Entry("", "Door", "门")
    assert found["depth"] == Entry("m", "Depth", "深度")
    assert found["gas_ppm"] == Entry("ppm", "Gas", "气体")
    assert found["level"] == Entry("%", "Level", "液位")


def test_a_name_in_two_units_has_neither() -> None:
    in_metres, in_percent = (Struct("level" / Scaled(Int8ub, 1, unit) * "Level 液位") for unit in ("m", "%"))
    assert declared([in_metres])["level"].unit == "m"
    assert declared([in_metres, in_percent, in_metres])["level"] == Entry("", "Level", "液位")


def test_the_catalogue_goes_before_a_protocol_and_both_before_the_name() -> None:
    words = {"odometer_km": Entry("mi", "Distance", "距离"), "phase_a": Entry("", "Phase A", "A相")}
    assert entry("odometer_km", words) == CATALOGUE["odometer_km"]
    assert entry("phase_a", words).unit == ""
    assert entry("lid_angle_deg", words) == Entry("°", "", "")
    assert entry("a", {}) == entry("nobody_knows", {}) == Entry("", "", "")


def test_units_of_names_agree_with_what_is_declared() -> None:
    declared_units = {name: one.unit for name, one in CATALOGUE.items()} | {one.name: one.unit for one in CHANNELS.values()}
    for name, unit in declared_units.items():
        assert not unit or UNITS[name.rpartition("_")[2]] == unit, name


def test_maps_and_families_add_their_own() -> None:
    maps = {
        f"{model}.toml": {
            "schema": 1, "model": model, "name": {"en": model, "zh": model}, "groups": {"all": {"interval_s": 10}},
            "point": [{"key": "flux", "name": {"en": "Flux", "zh": "流量"}, "function": 3, "address": 0, "type": "u16",
                       "group": "all", "kind": "gauge", "scale": Decimal("0.1"), "unit": unit}],
        }
        for model, unit in (("one", "m3/h"), ("two", "L/s"))
    }  # fmt: skip
    modbus = PROTOCOLS["modbus"]
    assert vocabulary(modbus.configure({"maps": {"one.toml": maps["one.toml"]}}))["flux"] == Entry("m3/h", "Flux", "流量")
    assert vocabulary(modbus.configure({"maps": maps}))["flux"].unit == ""
    assert vocabulary(PROTOCOLS["teltonika"])["axis_x_mg"].english
    assert vocabulary(NATIVE)["power_w"] == Entry("W", "Power", "功率")


def test_a_protocol_without_messages_has_no_words() -> None:
    assert vocabulary(FAKE) == {}
