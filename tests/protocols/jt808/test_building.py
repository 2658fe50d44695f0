"""The platform's bodies, made from fields by name, byte for byte; and what is said of fields that cannot be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from protocols.jt808 import JT808
from protocols.jt808.messages import MESSAGES

MORNING = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
IN_GMT_8 = "260301083000"
ANY_MEDIA = {"media_type": 0, "channel": 0, "event": 0}
CIRCLE = {"area_id": 7, "attributes": [], "latitude": 31.2, "longitude": 121.5, "radius_m": 500}
CIRCLE_BYTES = "00000007 {} 01dc1300 073df160 000001f4"
POINT = {"point_id": 1, "segment_id": 2, "latitude": 31.2, "longitude": 121.5, "width_m": 20, "attributes": []}
POINT_BYTES = "00000001 00000002 01dc1300 073df160 14 {}"


@pytest.mark.parametrize(
    ("kind", "edition", "fields", "body"),
    [
        ("query_location", "2013", {}, ""),
        ("link_check", "2019", {}, ""),
        ("server_time", "2019", {"time": "2026-03-01T08:30:00+08:00"}, "260301003000"),
        ("track_location", "2013", {"interval_s": 0}, "0000"),
        ("confirm_alarm", "2013", {"alarm_sequence": 0, "alarms": ["emergency", "illegal_ignition"]}, "0000 08000001"),
        ("query_listed_parameters", "2013", {"ids": [1, 0x55]}, "02 00000001 00000055"),
        (
            "set_parameters",
            "2013",
            {"parameters": {"heartbeat_interval_s": 60, "odometer_km": 12.3, "main_apn": "cmnet", "0xF364": "0102"}},
            "04 00000001 04 0000003c 00000080 04 0000007b 00000010 05 636d6e6574 0000f364 02 0102",
        ),
        ("terminal_control", "2013", {"command": "reset", "parameters": ""}, "04"),
        ("terminal_control", "2019", {"command": "connect", "parameters": "1"}, "02 31"),
        (
            "upgrade_package",
            "2013",
            {"upgraded": "gnss_module", "manufacturer_id": "ab", "software": "V2", "size_bytes": 3, "data": "010203"},
            "34 6162000000 02 5632 00000003 010203",
        ),
        ("text_message", "2013", {"flags": ["urgent", "read_aloud"], "text": "你好"}, "09 c4e3bac3"),
        (
            "text_message",
            "2019",
            {"flags": {"kind": "notice", "display": True}, "text_type": "notice", "text": "A"},
            "07 01 41",
        ),
        ("set_events", "2013", {"setting": "delete_all"}, "00"),
        ("set_events", "2013", {"setting": "update", "events": [{"event_id": 3, "content": "AB"}]}, "01 01 03 02 4142"),
        (
            "set_information_menu",
            "2013",
            {"setting": "append", "entries": [{"information_type": 1, "name": "AB"}]},
            "02 01 01 0002 4142",
        ),
        ("information", "2013", {"information_type": 1, "content": "AB"}, "01 0002 4142"),
        ("phone_callback", "2013", {"call": "listen", "number": "10086"}, "01 3130303836"),
        (
            "set_phone_book",
            "2013",
            {"setting": "replace", "contacts": [{"calls": "both", "number": "110", "contact": "A"}]},
            "01 01 03 03 313130 01 41",
        ),
        ("vehicle_control", "2013", {"flags": ["lock_doors"]}, "01"),
        ("vehicle_control", "2019", {"controls": [{"control": "doors", "value": "lock"}]}, "0001 0001 00"),
        ("vehicle_control", "2019", {"controls": [{"control": 0xF001, "value": "0102"}]}, "0001 f001 0102"),
        ("set_circles", "2013", {"setting": "update", "areas": [CIRCLE]}, "00 01" + CIRCLE_BYTES.format("0000")),
        (
            "set_circles",
            "2019",
            {
                "setting": "modify",
                "areas": [
                    CIRCLE
                    | {"attributes": ["timed", "speed_limited"], "start_time": MORNING, "end_time": "000000180000"}
                    | {"speed_limit_kmh": 80, "overspeed_duration_s": 10, "night_speed_limit_kmh": 60, "name": "AB"}
                ],
            },
            "02 01" + CIRCLE_BYTES.format("0003") + IN_GMT_8 + "000000180000 0050 0a 003c 0002 4142",
        ),
        (
            "set_rectangles",
            "2013",
            {
                "setting": "append",
                "areas": [
                    {"area_id": 1, "attributes": ["speed_limited"], "speed_limit_kmh": 80, "overspeed_duration_s": 10}
                    | {"upper_latitude": 4, "left_longitude": 1, "lower_latitude": 3, "right_longitude": 2}
                ],
            },
            "01 01 00000001 0002 003d0900 000f4240 002dc6c0 001e8480 0050 0a",
        ),
        (
            "set_polygon",
            "2019",
            {"area_id": 1, "attributes": 2, "speed_limit_kmh": 80, "overspeed_duration_s": 10, "night_speed_limit_kmh": 60}
            | {"vertices": [{"latitude": 1, "longitude": 2}], "name": ""},
            "00000001 0002 0050 0a 0001 000f4240 001e8480 003c 0000",
        ),
        (
            "set_route",
            "2013",
            {
                "route_id": 9,
                "attributes": ["entry_to_driver"],
                "points": [POINT | {"attributes": ["driving_time"], "too_long_s": 600, "too_short_s": 60}],
            },
            "00000009 0004 0001" + POINT_BYTES.format("01") + "0258 003c",
        ),
        (
            "set_route",
            "2019",
            {
                "route_id": 9,
                "attributes": 0,
                "points": [
                    POINT | {"attributes": 2, "speed_limit_kmh": 80, "overspeed_duration_s": 10, "night_speed_limit_kmh": 60}
                ],
                "name": "AB",
            },
            "00000009 0000 0001" + POINT_BYTES.format("02") + "0050 0a 003c 0002 4142",
        ),
        ("delete_circles", "2013", {"ids": []}, "00"),
        ("delete_routes", "2013", {"ids": [1, 2]}, "02 00000001 00000002"),
        ("query_areas", "2019", {"kind": "polygon", "ids": [5]}, "03 00000001 00000005"),
        ("collect_driving_record", "2013", {"command": "speeds", "data": ""}, "08"),
        ("multimedia_response", "2013", {"media_id": 5}, "00000005"),
        ("multimedia_response", "2013", {"media_id": 5, "indexes": [2, 4]}, "00000005 02 0002 0004"),
        (
            "search_multimedia",
            "2013",
            {"media_type": "video", "channel": 0, "event": "timed", "start_time": MORNING, "end_time": "000000000000"},
            "02 00 01" + IN_GMT_8 + "000000000000",
        ),
        ("record_audio", "2013", {"command": "start", "duration_s": 10, "save": "upload", "sampling": "khz_8"}, "01 000a 00 00"),
        ("upload_single_multimedia", "2013", {"media_id": 5, "deletion": "delete"}, "00000005 01"),
        ("platform_transparent_data", "2013", {"transparent_type": "ic_card", "data": b"\1"}, "0b 01"),
        ("platform_key", "2013", {"exponent": 65537, "modulus": "ab" * 128}, "00010001" + "ab" * 128),
        ("platform_sub_packet_request", "2013", {"original_sequence": 1, "indexes": [2]}, "0001 01 0002"),
        ("platform_sub_packet_request", "2019", {"original_sequence": 1, "indexes": [2]}, "0001 0001 0002"),
        ("rotate_camera", "2013", {"channel": 1, "direction": "left", "speed": 7}, "01 03 07"),
        ("zoom_camera", "2013", {"channel": 1, "change": "smaller"}, "01 01"),
        ("infrared_light", "2013", {"channel": 1, "command": "start"}, "01 01"),
    ],
)
def test_bodies(kind: str, edition: str, fields: dict[str, Any], body: str) -> None:
    made = JT808.build(kind, fields, edition)
    assert made.hex() == bytes.fromhex(body).hex()
    row = next(row for row in MESSAGES.values() if row.name == kind)
    layout = row.layout(made, edition == "2019")
    assert layout.build(layout.parse(made)) == made
    assert JT808.build(row.id, fields, edition) == made


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("fly", {}, "there is no message 'fly'"),
        (0x8888, {}, "there is no message 34952"),
        ("track_location", {"validity_s": 60}, "interval_s: missing (s): Interval; 0 ends the tracking 时间间隔"),
        ("track_location", {"interval_s": 5}, "validity_s: missing, as the other fields say"),
        ("track_location", {"interval_s": 0, "validity_s": 60}, "validity_s: 60 has no place, as the other fields say"),
        ("track_location", {"interval_s": 65536, "validity_s": 1}, "interval_s: 65536 is no number from 0 to 65535 s"),
        ("track_location", {"interval_s": "5", "validity_s": 1}, "interval_s: '5' is no number from 0 to 65535 s"),
        ("track_location", {"interval": 5}, "interval: there is no such field, but interval_s, validity_s, extra"),
        ("camera_shot", {"channel": 256}, "channel: 256 is no whole number from 0 to 255"),
        ("record_audio", {"command": "go"}, "command: 'go' is none of stop, start"),
        ("text_message", {"flags": ["loud"], "text": ""}, "flags: ['loud'] is not made of urgent, display, read_aloud"),
        ("text_message", {"flags": 0, "text": 7}, "text: 7 is no text"),
        ("delete_circles", {"ids": 7}, "ids: 7 is no list"),
        ("delete_circles", {"ids": [0] * 256}, "ids: 256 entries, where there may be 255"),
        ("delete_circles", {"ids": [1, -1]}, "ids[1]: -1 is no whole number from 0 to 4294967295"),
        ("set_circles", {"setting": 0, "areas": [{**CIRCLE, "name": "A"}]}, "areas[0].name: there is no such field, but area_id"),
        ("set_circles", {"setting": 0, "areas": [{**CIRCLE, "latitude": -1}]}, "areas[0].latitude: -1 is no number from 0"),
        ("set_circles", {"setting": 0, "areas": [{**CIRCLE, "attributes": ["timed"]}]}, "missing, as the other fields say"),
        ("set_circles", {"setting": 0, "areas": ["A"]}, "areas[0]: 'A' is no fields by name"),
        ("set_parameters", {"parameters": {"speed": 1}}, "parameters.speed: there is no such item"),
        ("set_parameters", {"parameters": {"speed_limit_kmh": "fast"}}, "parameters.speed_limit_kmh: 'fast' is no number from 0"),
        ("set_parameters", {"parameters": {"0xF000": "xy"}}, "parameters.0xF000: 'xy' is no bytes in hex"),
        ("set_parameters", {"parameters": {"main_apn": "x" * 256}}, "0x10 of 256 bytes does not fit"),
        (
            "set_events",
            {"setting": 1, "events": [{"event_id": 1, "content": "x" * 256}]},
            "256 bytes, where there may be 255",
        ),
        ("set_events", {"setting": "update"}, "events: missing, as the other fields say: Events 事件项列表"),
        ("platform_key", {"exponent": 1, "modulus": "ab"}, "modulus: 1 bytes, where there are 128"),
        ("upgrade_package", {"upgraded": 0, "manufacturer_id": "toolong"}, "'toolong' takes 7 bytes, where there are 5"),
        ("search_multimedia", ANY_MEDIA | {"start_time": "now"}, "'now' is no time of ISO 8601"),
        (
            "search_multimedia",
            {"media_type": 0, "channel": 0, "event": 0, "start_time": datetime(2026, 1, 1)},
            "no time with a time zone",
        ),
    ],
)
def test_what_cannot_be_is_told_with_its_field(kind: str | int, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        JT808.build(kind, fields)
    assert text in str(caught.value)


def test_vendors_controls_take_bytes() -> None:
    with pytest.raises(ValueError, match=r"controls\[0\].value: 'lock' is no bytes in hex"):
        JT808.build("vehicle_control", {"controls": [{"control": 0xF001, "value": "lock"}]}, "2019")
    with pytest.raises(ValueError, match=r"controls\[0\].value: '0102' is none of lock, open"):
        JT808.build("vehicle_control", {"controls": [{"control": 1, "value": "0102"}]}, "2019")


def test_editions() -> None:
    with pytest.raises(ValueError, match="'2020' is none of 2011, 2013, 2019"):
        JT808.build("query_location", {}, "2020")
    assert JT808.build("text_message", {"flags": 0, "text": "A"}, "2011") == b"\0A"
    with pytest.raises(ValueError, match="text_message, 2019: text_type: missing"):
        JT808.build("text_message", {"flags": 0, "text": "A"}, "2019")
