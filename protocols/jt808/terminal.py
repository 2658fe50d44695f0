"""The device's end of a JT/T 808 link, as a terminal of 2013 with a camera."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from datetime import datetime
from math import cos, hypot, radians

from construct import ConstructError

from protocols.fields import Declaration
from protocols.framing import DelimitedSplitter
from protocols.items import Item
from protocols.jt808.answers import wanted_pieces
from protocols.jt808.codec import MAX_RUN_BYTES
from protocols.jt808.header import FLAG, Header, frame, open_frame, read_header
from protocols.jt808.location import LOCATION_2013
from protocols.jt808.messages import LOCATION
from protocols.jt808.multimedia import MULTIMEDIA_DATA, MULTIMEDIA_RESPONSE
from protocols.jt808.photo import PHOTO_BYTES, Photo, photo_body
from protocols.jt808.rows import PLATFORM_GENERAL_RESPONSE
from protocols.jt808.terminal_management import (
    AUTHENTICATE,
    AUTHENTICATION_2013,
    GENERAL_RESPONSE,
    PLATFORM_SUB_PACKET_REQUEST,
    REGISTER,
    REGISTER_RESPONSE,
    REGISTRATION_2013,
    REGISTRATION_ACCEPTED,
)
from protocols.message import Malformed, Message

MAX_AWAITED = 4096
"""Reports whose answer is waited for. Far fewer than sequence numbers, so that a late answer can't mean another one."""
_PHONE_DIGITS = 12
_KM_PER_DEGREE = 111.2
_START_ODOMETER_KM = 12_000.0
_START_FUEL_L = 60.0
_LITRES_PER_KM = 0.08


class JT808Terminal:
    """A vehicle. It keeps its authentication code, its sequence numbers and its odometer from link to link.

    Sequences as they are given out go on past 65,535; on the wire they are modulo 65,536.

    Raises: ValueError when the identity does not fit a phone number's field of six bytes.
    """

    def __init__(self, identity: str) -> None:
        if not (identity.isascii() and identity.isdecimal()) or len(identity) > _PHONE_DIGITS:
            raise ValueError(f"{identity!r} is no phone number of at most {_PHONE_DIGITS} digits")
        self.identity = identity.lstrip("0") or "0"
        self._phone = identity.zfill(_PHONE_DIGITS)
        self._code: str | None = None
        self._is_online = False
        self._next = 0
        self._awaited: OrderedDict[int, int] = OrderedDict()
        self._authentication = -1
        self._photos: dict[int, Photo] = {}
        """By sequence, until the platform has them whole."""
        self._next_media_id = 1
        self._splitter = DelimitedSplitter(FLAG, MAX_RUN_BYTES)
        self._last_point: tuple[float, float] | None = None
        self._driven_km = 0.0

    @property
    def is_online(self) -> bool:
        return self._is_online

    def connect(self) -> bytes:
        self._is_online = False
        self._splitter = DelimitedSplitter(FLAG, MAX_RUN_BYTES)
        return self._register() if self._code is None else self._authenticate(self._code)

    def receive(self, data: bytes) -> tuple[bytes, Sequence[int]]:
        answers, acked = b"", []
        for run in self._splitter.feed(data):
            opened = run if isinstance(run, Malformed) else open_frame(run)
            if isinstance(opened, Malformed):
                continue
            head, body = opened
            header = read_header(head)
            try:
                if header.id == REGISTER_RESPONSE:
                    answers += self._registered(body)
                elif header.id == PLATFORM_GENERAL_RESPONSE:
                    acked += self._answered(body)
                elif header.id == MULTIMEDIA_RESPONSE:
                    frames, uploaded = self._uploaded(body)
                    answers += frames
                    acked += uploaded
                elif header.id == PLATFORM_SUB_PACKET_REQUEST:
                    answers += self._asked_again(Message(header.identity, header.id, header.sequence, head, body))
            except ConstructError:
                # The platform's answer is cut short: as good as none.
                continue
        return answers, acked

    def report(
        self, time: datetime, latitude: float, longitude: float, speed_kmh: float, course_deg: float
    ) -> tuple[int, str, bytes]:
        self._drive_to(latitude, longitude)
        items = [
            Item(0x01, 4, "odometer_km", _START_ODOMETER_KM + self._driven_km),
            Item(0x02, 2, "fuel_l", max(0.0, _START_FUEL_L - self._driven_km * _LITRES_PER_KM)),
            Item(0x30, 1, "signal", 24),
            Item(0x31, 1, "satellites", 12),
        ]
        return self._take_sequence(), "location", _location(time, latitude, longitude, speed_kmh, course_deg, items)

    def photo(
        self, time: datetime, latitude: float, longitude: float, size: int = PHOTO_BYTES, lost: Collection[int] = ()
    ) -> tuple[int, str, bytes]:
        """Take a photo: a report that leaves in sub-packets. Those of the numbers in ``lost`` do not leave the first time."""
        media_id, self._next_media_id = self._next_media_id, self._next_media_id + 1
        location = _location(time, latitude, longitude, 0.0, 0.0, [])
        body = photo_body(media_id, location, size, f"{self.identity} {media_id}")
        photo = Photo(MULTIMEDIA_DATA, self._phone, self._next, body, lost)
        sequence = self._take_sequence(photo.total)
        self._photos[sequence] = photo
        return sequence, "multimedia_data", body

    def frame(self, sequence: int, body: bytes) -> bytes:
        if sequence in self._photos:
            return self._photos[sequence].frames()
        self._await(sequence)
        return self._frame(LOCATION, sequence, body)

    def _registered(self, body: bytes) -> bytes:
        answer = REGISTRATION_ACCEPTED.parse(body)
        if answer.result != "success":
            return b""
        self._code = str(answer.code)
        return self._authenticate(self._code)

    def _answered(self, body: bytes) -> list[int]:
        answer = GENERAL_RESPONSE.parse(body)
        is_good = answer.result in ("success", "alarm_confirmed")
        if answer.answered_kind == AUTHENTICATE and answer.answered_sequence == self._authentication:
            self._is_online = is_good
            if not is_good:
                # Registered anew with the next link; at once would be without end where the platform never agrees.
                self._code = None
        elif answer.answered_kind == LOCATION and is_good and answer.answered_sequence in self._awaited:
            return [self._awaited.pop(answer.answered_sequence)]
        return []

    def _uploaded(self, body: bytes) -> tuple[bytes, list[int]]:
        """The platform has a photo, or all of one but the pieces it lists: these again, and the photos it has."""
        media_id, numbers = body[:4], [int.from_bytes(body[at : at + 2], "big") for at in range(5, len(body) - 1, 2)]
        for sequence, photo in self._photos.items():
            if photo.media_id == media_id:
                if numbers:
                    return photo.frames(numbers), []
                del self._photos[sequence]
                return b"", [sequence]
        return b"", []

    def _asked_again(self, message: Message) -> bytes:
        first_sequence, numbers = wanted_pieces(message)
        asked = [photo for photo in self._photos.values() if photo.first_sequence == first_sequence]
        return asked[-1].frames(numbers) if asked and numbers else b""

    def _register(self) -> bytes:
        fields = {
            "province_id": 31,
            "city_id": 115,
            "manufacturer_id": "IOTGW",
            "model": "simulator",
            "terminal_id": self._phone[-7:],
            "plate_colour": "blue",
            "plate": f"测A{self._phone[-5:]}",
        }
        return self._send(REGISTER, REGISTRATION_2013, fields)

    def _authenticate(self, code: str) -> bytes:
        self._authentication = self._next & 0xFFFF
        return self._send(AUTHENTICATE, AUTHENTICATION_2013, {"code": code})

    def _send(self, id: int, declaration: Declaration, fields: dict[str, object]) -> bytes:
        return self._frame(id, self._take_sequence(), declaration.build(fields))

    def _frame(self, id: int, sequence: int, body: bytes) -> bytes:
        return frame(Header(id, self._phone, sequence & 0xFFFF), body)

    def _take_sequence(self, count: int = 1) -> int:
        self._next += count
        return self._next - count

    def _await(self, sequence: int) -> None:
        self._awaited[sequence & 0xFFFF] = sequence
        self._awaited.move_to_end(sequence & 0xFFFF)
        if len(self._awaited) > MAX_AWAITED:
            self._awaited.popitem(last=False)

    def _drive_to(self, latitude: float, longitude: float) -> None:
        if self._last_point is not None:
            north, east = latitude - self._last_point[0], longitude - self._last_point[1]
            self._driven_km += hypot(north, east * cos(radians(latitude))) * _KM_PER_DEGREE
        self._last_point = latitude, longitude


def _location(
    time: datetime, latitude: float, longitude: float, speed_kmh: float, course_deg: float, items: Sequence[Item]
) -> bytes:
    status = ["ignition", "fix", "gps_used", "beidou_used"]
    status += ["south"] * (latitude < 0) + ["west"] * (longitude < 0)
    return LOCATION_2013.build(
        {
            "alarm_flags": 0,
            "status": status,
            "latitude": abs(latitude),
            "longitude": abs(longitude),
            "altitude": 40,
            "speed": speed_kmh,
            "course": course_deg % 360,
            "time": time,
            "items": items,
        }
    )
