"""What a simulated terminal does with the platform's commands, and what it says to them.

Source: JT/T 808-2013, 8.8 to 8.12, 8.17 to 8.30 and 8.49 to 8.56.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from construct import ConstructError

from protocols.executions import Executions
from protocols.items import Entries, Item
from protocols.jt808.active_safety import FILE_UPLOADED_RESPONSE
from protocols.jt808.areas import (
    DELETE_CIRCLES,
    DELETE_POLYGONS,
    DELETE_RECTANGLES,
    DELETE_ROUTES,
    SET_CIRCLES,
    SET_POLYGON,
    SET_RECTANGLES,
    SET_ROUTE,
)
from protocols.jt808.firmware import Said
from protocols.jt808.information import (
    INFORMATION,
    PHONE_CALLBACK,
    QUESTION,
    QUESTION_ANSWER,
    SET_EVENTS,
    SET_INFORMATION_MENU,
    SET_PHONE_BOOK,
    TEXT_MESSAGE,
    VEHICLE_CONTROL,
    VEHICLE_CONTROL_RESPONSE,
)
from protocols.jt808.messages import MESSAGES
from protocols.jt808.multimedia import (
    CAMERA_SHOT,
    CAMERA_SHOT_RESPONSE,
    MULTIMEDIA_DATA,
    MULTIMEDIA_RESPONSE,
    MULTIMEDIA_SEARCH_RESPONSE,
    SEARCH_MULTIMEDIA,
    UPLOAD_MULTIMEDIA,
    UPLOAD_SINGLE_MULTIMEDIA,
)
from protocols.jt808.parameters import PARAMETERS
from protocols.jt808.positions import (
    CONFIRM_ALARM,
    LINK_CHECK,
    LOCATION_RESPONSE,
    QUERY_LOCATION,
    TRACK_LOCATION,
)
from protocols.jt808.rows import PLATFORM_GENERAL_RESPONSE, TERMINAL_GENERAL_RESPONSE
from protocols.jt808.terminal_management import (
    ATTRIBUTES_RESPONSE,
    PARAMETERS_RESPONSE,
    PLAIN_GENERAL_RESPONSE,
    PLATFORM_SUB_PACKET_REQUEST,
    QUERY_ATTRIBUTES,
    QUERY_LISTED_PARAMETERS,
    QUERY_PARAMETERS,
    REGISTER_RESPONSE,
    SERVER_TIME,
    SET_PARAMETERS,
    TERMINAL_CONTROL,
)
from protocols.message import Message

FACTORY_PARAMETERS: Mapping[str, Any] = {
    "heartbeat_interval_s": 60,
    "tcp_timeout_s": 15,
    "tcp_retransmissions": 3,
    "main_apn": "cmnet",
    "main_address": "platform.example.com",
    "tcp_port": 6808,
    "report_strategy": "time",
    "report_interval_s": 30,
    "speed_limit_kmh": 100,
    "odometer_km": 12_000.0,
    "province_id": 31,
    "city_id": 115,
    "plate_colour": "blue",
}
CHANNELS = range(1, 5)
"""Of its camera."""
MOST_PICTURES = 10
"""At once."""
MOST_KEPT = 20
_TEXTS_KEPT = 20
_ANSWERS = frozenset(
    (
        *(PLATFORM_GENERAL_RESPONSE, PLATFORM_SUB_PACKET_REQUEST, SERVER_TIME, REGISTER_RESPONSE),
        *(MULTIMEDIA_RESPONSE, FILE_UPLOADED_RESPONSE),
    )
)
"""What the platform says that is no command."""
_TAKEN_QUIETLY = frozenset(
    (
        *(TRACK_LOCATION, CONFIRM_ALARM, LINK_CHECK, SET_EVENTS, SET_INFORMATION_MENU, INFORMATION, PHONE_CALLBACK, SET_PHONE_BOOK),
        *(SET_CIRCLES, DELETE_CIRCLES, SET_RECTANGLES, DELETE_RECTANGLES, SET_POLYGON, DELETE_POLYGONS, SET_ROUTE, DELETE_ROUTES),
    )
)
"""Commands of which nothing more is to be seen than that they are taken."""


class Picture(NamedTuple):
    """A picture that was asked for."""

    media_id: int
    channel: int
    body: bytes
    """Of the message that it leaves in."""


class Camera(NamedTuple):
    """What orders want of whoever has the camera."""

    shoot: Callable[[int], Picture | None]
    """Take a picture on a channel; None where there is nothing to be seen yet."""
    upload: Callable[[Picture], None]
    """Let one leave, behind what is said first."""


class RefusedError(Exception):
    """An order that is not carried out, with what is said instead."""

    def __init__(self, *said: Said) -> None:
        super().__init__("refused")
        self.said = list(said)


class Orders:
    """A terminal's obedience, through all its links."""

    def __init__(self, camera: Camera, locate: Callable[[], bytes | None]) -> None:
        self.parameters: dict[str, Any] = dict(FACTORY_PARAMETERS)
        self.raw_parameters: dict[int, bytes] = {}
        """Of ids in no table."""
        self.are_doors_locked = False
        self.texts: deque[str] = deque(maxlen=_TEXTS_KEPT)
        self.pictures: dict[int, Picture] = {}
        self.executed = Executions()
        self.unsupported: set[int] = set()
        """Messages that it answers as not supported, beside those that it does not know."""
        self.silent: set[int] = set()
        """Messages that it obeys without a word."""
        self.wants: str = ""
        """What terminal control has just asked for that the terminal has to see to itself; whoever does takes it away."""
        self._camera = camera
        self._locate = locate

    def obey(self, message: Message) -> list[Said]:
        """Do what a message says, unless it is an answer: what the terminal says to it."""
        if message.kind in _ANSWERS:
            return []
        obey = _OBEDIENCE.get(message.kind)
        if obey is None or message.kind in self.unsupported:
            return [_general(message, "not_supported")]
        try:
            said = obey(self, message, MESSAGES[message.kind].layout(message.body, is_2019=False).parse(message.body))
            self.executed.add(message.kind, message.sequence, message.body)
        except ConstructError:
            said = [_general(message, "message_wrong")]
        except RefusedError as refusal:
            said = refusal.said
        return [] if message.kind in self.silent else said

    def _take(self, message: Message, asked: Any) -> list[Said]:
        return [_general(message)]

    def _set_parameters(self, message: Message, asked: Any) -> list[Said]:
        """All of them, or none."""
        entries: Entries = asked.parameters
        if entries.is_cut:
            raise RefusedError(_general(message, "message_wrong"))
        for item in entries:
            if item.name:
                self.parameters[item.name] = item.value
            else:
                self.raw_parameters[item.id] = bytes(item.value)
        return [_general(message)]

    def _tell_parameters(self, message: Message, asked: Any) -> list[Said]:
        items = [item for item in self._items() if "ids" not in asked or item.id in asked.ids]
        fields = {"answered_sequence": message.sequence, "count": None, "parameters": items}
        return [Said(PARAMETERS_RESPONSE, MESSAGES[PARAMETERS_RESPONSE].only_layout.build(fields))]

    def _items(self) -> Iterable[Item]:
        for id, (declaration, *_) in PARAMETERS.table.items():
            if declaration.name in self.parameters:
                value = self.parameters[declaration.name]
                yield Item(id, len(declaration.build(value)), str(declaration.name), value)
        for id, raw in self.raw_parameters.items():
            yield Item(id, len(raw), "", raw)

    def _tell_attributes(self, message: Message, asked: Any) -> list[Said]:
        fields = {
            "terminal_type": ["freight", "hard_disk_video"],
            "manufacturer_id": "IOTGW",
            "model": "simulator",
            "terminal_id": message.identity[-7:],
            "iccid": f"898600{message.identity[-11:]:0>14}",
            "hardware": "H1",
            "software": "S1",
            "gnss_module": ["gps", "beidou"],
            "communication_module": ["td_lte"],
            "extra": b"",
        }
        return [Said(ATTRIBUTES_RESPONSE, MESSAGES[ATTRIBUTES_RESPONSE].layouts["2013"].build(fields))]

    def _control(self, message: Message, asked: Any) -> list[Said]:
        if asked.command in ("upgrade", "connect") or isinstance(asked.command, int):
            raise RefusedError(_general(message, "failure"))
        if asked.command == "factory_reset":
            self.parameters, self.raw_parameters = dict(FACTORY_PARAMETERS), {}
        self.wants = asked.command
        return [_general(message)]

    def _tell_location(self, message: Message, asked: Any) -> list[Said]:
        return [self._located(LOCATION_RESPONSE, message)]

    def _show_text(self, message: Message, asked: Any) -> list[Said]:
        self.texts.append(str(asked.text))
        return [_general(message)]

    def _question(self, message: Message, asked: Any) -> list[Said]:
        """The driver takes the first of the answers."""
        if not asked.answers:
            raise RefusedError(_general(message, "message_wrong"))
        answer = {"answered_sequence": message.sequence, "answer_id": asked.answers[0].answer_id, "extra": b""}
        return [_general(message), Said(QUESTION_ANSWER, MESSAGES[QUESTION_ANSWER].only_layout.build(answer))]

    def _control_vehicle(self, message: Message, asked: Any) -> list[Said]:
        self.are_doors_locked = bool(asked.flags & 1)
        return [_general(message), self._located(VEHICLE_CONTROL_RESPONSE, message)]

    def _shoot(self, message: Message, asked: Any) -> list[Said]:
        """Stop is always right; there is no video. Pictures leave behind the answer, if they are not to be kept only."""
        if asked.command == "stop":
            return [_general(message)]
        if asked.channel not in CHANNELS:
            raise RefusedError(_general(message), _shot(message, "channel_unsupported"))
        count = asked.command if isinstance(asked.command, int) and asked.command <= MOST_PICTURES else 0
        pictures = [one for one in (self._camera.shoot(asked.channel) for _ in range(count)) if one is not None]
        if not pictures:
            raise RefusedError(_general(message), _shot(message, "failure"))
        for one in pictures:
            if asked.save == "upload":
                self._camera.upload(one)
            else:
                self._keep(one)
        return [_general(message), _shot(message, "success", [one.media_id for one in pictures])]

    def _keep(self, picture: Picture) -> None:
        self.pictures[picture.media_id] = picture
        if len(self.pictures) > MOST_KEPT:
            del self.pictures[next(iter(self.pictures))]

    def _search(self, message: Message, asked: Any) -> list[Said]:
        items = []
        for one in self._found(asked):
            shot = MESSAGES[MULTIMEDIA_DATA].layouts["2013"].parse(one.body)
            items.append({name: shot[name] for name in ("media_id", "media_type", "channel", "event", "location")})
        fields = {"answered_sequence": message.sequence, "count": None, "items": items}
        return [Said(MULTIMEDIA_SEARCH_RESPONSE, MESSAGES[MULTIMEDIA_SEARCH_RESPONSE].layouts["2013"].build(fields))]

    def _upload(self, message: Message, asked: Any) -> list[Said]:
        for one in self._found(asked):
            self._camera.upload(one)
            if asked.deletion == "delete":
                del self.pictures[one.media_id]
        return [_general(message)]

    def _upload_one(self, message: Message, asked: Any) -> list[Said]:
        if asked.media_id not in self.pictures:
            raise RefusedError(_general(message, "failure"))
        self._camera.upload(self.pictures[asked.media_id])
        if asked.deletion == "delete":
            del self.pictures[asked.media_id]
        return [_general(message)]

    def _found(self, asked: Any) -> list[Picture]:
        return [one for one in self.pictures.values() if asked.media_type == "image" and asked.channel in (0, one.channel)]

    def _located(self, id: int, message: Message) -> Said:
        location = self._locate()
        if location is None:
            raise RefusedError(_general(message, "failure"))
        return Said(id, message.sequence.to_bytes(2, "big") + location)


_OBEDIENCE: Mapping[int, Callable[[Orders, Message, Any], list[Said]]] = {
    **dict.fromkeys(_TAKEN_QUIETLY, Orders._take),
    SET_PARAMETERS: Orders._set_parameters,
    QUERY_PARAMETERS: Orders._tell_parameters,
    QUERY_LISTED_PARAMETERS: Orders._tell_parameters,
    QUERY_ATTRIBUTES: Orders._tell_attributes,
    TERMINAL_CONTROL: Orders._control,
    QUERY_LOCATION: Orders._tell_location,
    TEXT_MESSAGE: Orders._show_text,
    QUESTION: Orders._question,
    VEHICLE_CONTROL: Orders._control_vehicle,
    CAMERA_SHOT: Orders._shoot,
    SEARCH_MULTIMEDIA: Orders._search,
    UPLOAD_MULTIMEDIA: Orders._upload,
    UPLOAD_SINGLE_MULTIMEDIA: Orders._upload_one,
}


def _general(message: Message, result: str = "success") -> Said:
    fields = {"answered_sequence": message.sequence, "answered_kind": message.kind, "result": result}
    return Said(TERMINAL_GENERAL_RESPONSE, PLAIN_GENERAL_RESPONSE.build(fields))


def _shot(message: Message, result: str, ids: Sequence[int] = ()) -> Said:
    layouts = MESSAGES[CAMERA_SHOT_RESPONSE].layouts
    if not ids:
        body = layouts["2013 failed"].build({"answered_sequence": message.sequence, "result": result, "extra": b""})
        return Said(CAMERA_SHOT_RESPONSE, body)
    fields = {"answered_sequence": message.sequence, "result": result, "count": None, "media_ids": ids}
    return Said(CAMERA_SHOT_RESPONSE, layouts["2013"].build(fields))
