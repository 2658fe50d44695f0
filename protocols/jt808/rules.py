"""Which of the platform's messages are commands of operators, and what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.command import CommandRule, Effect
from protocols.jt808 import active_safety, areas, collection, information, multimedia, positions, video
from protocols.jt808 import terminal_management as terminals
from protocols.jt808.parameters import PARAMETERS

_QUERY = CommandRule(Effect.QUERY, is_repeatable=True, waits_grow=True)
_SLOW_QUERY = _QUERY._replace(answer_seconds=300.0)
_CONFIGURE = CommandRule(Effect.CONFIGURE, is_repeatable=True, waits_grow=True)
_CONFIGURE_ONCE = CommandRule(Effect.CONFIGURE)
_ACTUATE = CommandRule(Effect.ACTUATE)
_SLOW = CommandRule(Effect.ACTUATE, answer_seconds=300.0)
_STRANDS = CommandRule(Effect.ACTUATE, is_confirmed_twice=True)

_WAYS_HERE = frozenset({*range(0x0010, 0x001A), *range(0x0023, 0x0027)})
"""Parameters by which a terminal finds its platform."""
_WAYS = {str(row[0].name): id for id, row in PARAMETERS.table.items() if id in _WAYS_HERE}
_HARMLESS_CONTROLS = ("reset", 4)
_DOORS = ("doors", 1)
_DOOR_FLAGS = (0, 1)


def _parameters(fields: Mapping[str, Any]) -> CommandRule:
    """A terminal that is sent to another server, or given a wrong access point, does not come back."""
    parameters = fields.get("parameters")
    names = parameters if isinstance(parameters, Mapping) else ()
    is_away = any(name in _WAYS or _id(name) in _WAYS_HERE for name in names)
    return _CONFIGURE._replace(is_confirmed_twice=True) if is_away else _CONFIGURE


def _id(name: Any) -> int:
    try:
        return int(str(name), 16)
    except ValueError:
        return -1


def _terminal_control(fields: Mapping[str, Any]) -> CommandRule:
    """All but a restart, and whatever vendors have added, may be the last that is heard of a terminal."""
    return _ACTUATE if _is_one_of(fields.get("command"), _HARMLESS_CONTROLS) else _STRANDS


def _vehicle_control(fields: Mapping[str, Any]) -> CommandRule:
    """The standard knows doors alone; vendors cut oil and electricity by bits and controls of their own."""
    flags, controls = fields.get("flags"), fields.get("controls", ())
    if isinstance(flags, int) and flags not in _DOOR_FLAGS:
        return _STRANDS
    if not isinstance(controls, (list, tuple)):
        return _STRANDS
    told = [control.get("control") if isinstance(control, Mapping) else None for control in controls]
    return _ACTUATE if all(_is_one_of(control, _DOORS) for control in told) else _STRANDS


def _upload(fields: Mapping[str, Any]) -> CommandRule:
    return _SLOW_QUERY if _is_one_of(fields.get("deletion"), ("keep", 0)) else _SLOW


def _setting(fields: Mapping[str, Any]) -> CommandRule:
    """What is added twice is there twice."""
    return _CONFIGURE_ONCE if _is_one_of(fields.get("setting"), ("append", 2, 1)) else _CONFIGURE


def _is_one_of(value: Any, values: tuple[Any, ...]) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value in values


_SETTING = _CONFIGURE_ONCE._replace(differs=_setting)
_SHOT = {
    "interval_s": 0,
    "save": "upload",
    "resolution": "r640x480",
    "quality": 5,
    "brightness": 128,
    "contrast": 64,
    "saturation": 64,
    "chroma": 128,
}
_UPLOADED = {"media_type": "image", "channel": 0, "event": "platform_command", "start_time": "0" * 12, "end_time": "0" * 12}

RULES: Mapping[int, CommandRule] = {
    terminals.SET_PARAMETERS: _CONFIGURE._replace(differs=_parameters),
    terminals.QUERY_PARAMETERS: _QUERY,
    terminals.TERMINAL_CONTROL: _STRANDS._replace(differs=_terminal_control, defaults={"parameters": ""}),
    terminals.QUERY_LISTED_PARAMETERS: _QUERY,
    terminals.QUERY_ATTRIBUTES: _QUERY,
    positions.QUERY_LOCATION: _QUERY,
    positions.TRACK_LOCATION: _CONFIGURE,
    positions.CONFIRM_ALARM: _CONFIGURE,
    positions.LINK_CHECK: _QUERY,
    information.TEXT_MESSAGE: _ACTUATE._replace(defaults={"flags": ["display", "read_aloud"], "text_type": "notice"}),
    information.SET_EVENTS: _SETTING,
    information.QUESTION: _SLOW._replace(defaults={"flags": ["read_aloud"]}),
    information.SET_INFORMATION_MENU: _SETTING,
    information.INFORMATION: _ACTUATE,
    information.PHONE_CALLBACK: _ACTUATE,
    information.SET_PHONE_BOOK: _SETTING,
    information.VEHICLE_CONTROL: _STRANDS._replace(differs=_vehicle_control),
    areas.SET_CIRCLES: _SETTING,
    areas.DELETE_CIRCLES: _CONFIGURE,
    areas.SET_RECTANGLES: _SETTING,
    areas.DELETE_RECTANGLES: _CONFIGURE,
    areas.SET_POLYGON: _CONFIGURE,
    areas.DELETE_POLYGONS: _CONFIGURE,
    areas.SET_ROUTE: _CONFIGURE,
    areas.DELETE_ROUTES: _CONFIGURE,
    areas.QUERY_AREAS: _QUERY,
    collection.COLLECT_DRIVING_RECORD: _SLOW_QUERY,
    collection.SET_DRIVING_RECORDER: _CONFIGURE_ONCE,
    collection.QUERY_DRIVER_IDENTITY: _QUERY,
    multimedia.CAMERA_SHOT: _SLOW._replace(defaults=_SHOT),
    multimedia.SEARCH_MULTIMEDIA: _QUERY._replace(defaults=_UPLOADED),
    multimedia.UPLOAD_MULTIMEDIA: _SLOW._replace(differs=_upload, defaults=_UPLOADED),
    multimedia.RECORD_AUDIO: _ACTUATE,
    multimedia.UPLOAD_SINGLE_MULTIMEDIA: _SLOW._replace(differs=_upload),
    multimedia.PLATFORM_TRANSPARENT_DATA: _STRANDS,
    multimedia.PLATFORM_KEY: _CONFIGURE._replace(is_confirmed_twice=True),
    video.QUERY_VIDEO_ATTRIBUTES: _QUERY,
    video.LIVE_VIDEO: _ACTUATE,
    video.LIVE_VIDEO_CONTROL: _ACTUATE,
    video.PLAYBACK: _ACTUATE,
    video.PLAYBACK_CONTROL: _ACTUATE,
    video.QUERY_RESOURCES: _QUERY,
    video.UPLOAD_FILES: _ACTUATE._replace(answer_seconds=600.0),
    video.FILE_UPLOAD_CONTROL: _ACTUATE,
    video.ROTATE_CAMERA: _ACTUATE,
    video.FOCUS_CAMERA: _ACTUATE,
    video.ADJUST_IRIS: _ACTUATE,
    video.CAMERA_WIPER: _ACTUATE,
    video.INFRARED_LIGHT: _ACTUATE,
    video.ZOOM_CAMERA: _ACTUATE,
    active_safety.UPLOAD_ALARM_ATTACHMENTS: _ACTUATE,
}
"""By message. All others answer, or are sent by the platform as it sees fit: files, requests for pieces, a stream's status."""
