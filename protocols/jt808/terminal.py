"""The device's end of a JT/T 808 link, as a terminal of 2013 with a camera and firmware that can be renewed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence

from construct import ConstructError

from protocols.fields import Declaration
from protocols.framing import DelimitedSplitter
from protocols.items import Item
from protocols.jt808.answers import wanted_pieces
from protocols.jt808.codec import MAX_RUN_BYTES
from protocols.jt808.firmware import Arriving, Said
from protocols.jt808.header import FLAG, MAX_BODY_BYTES, Header, frame, open_frame, read_header
from protocols.jt808.location import LOCATION_2013
from protocols.jt808.messages import LOCATION
from protocols.jt808.multimedia import MULTIMEDIA_DATA, MULTIMEDIA_RESPONSE
from protocols.jt808.orders import Camera, Orders, Picture
from protocols.jt808.photo import COMMANDED, PHOTO_BYTES, Photo, photo_body
from protocols.jt808.rows import PLATFORM_GENERAL_RESPONSE
from protocols.jt808.terminal_management import (
    AUTHENTICATE,
    AUTHENTICATION_2013,
    GENERAL_RESPONSE,
    HEARTBEAT,
    PLATFORM_SUB_PACKET_REQUEST,
    REGISTER,
    REGISTER_RESPONSE,
    REGISTRATION_2013,
    REGISTRATION_ACCEPTED,
    UPGRADE_PACKAGE,
    UPGRADE_RESULT,
)
from protocols.message import Malformed, Message, Send
from protocols.terminal import Acked, Made, Moment, TerminalEvent

MAX_AWAITED = 4096
"""Reports whose answer is waited for. Far fewer than sequence numbers, so that a late answer can't mean another one."""
HEARTBEAT_SECONDS = 60.0
"""As it comes from the factory."""
_PHONE_DIGITS = 12
_START_ODOMETER_KM = 12_000.0
_START_FUEL_L = 60.0
_LITRES_PER_KM = 0.08
_SPEED_LIMIT_KMH = 100.0


class JT808Terminal:
    """A vehicle. It keeps its authentication code and its sequence numbers from link to link.

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
        self._moment: Moment | None = None
        self._is_off = False
        """Until it is switched on again, which a new link shows."""
        self._leaving: list[Picture] = []
        """Pictures that have been asked for, to leave behind what is said first."""
        self._pieces: dict[int, bytes] = {}
        """Of a command in sub-packets, by their numbers; of the newest alone."""
        self._pieces_of = -1
        """The sequence of the first of them."""
        self.heartbeat_seconds = HEARTBEAT_SECONDS
        self.orders = Orders(Camera(self._shoot, self._leaving.append), self._locate)
        self.executed = self.orders.executed
        self._arriving = Arriving()
        self._upgrade_results: set[int] = set()
        """Sequences of reports that say what became of a file."""
        self._splitter = DelimitedSplitter(FLAG, MAX_RUN_BYTES)

    @property
    def firmware(self) -> bytes:
        """What it has been given to run; empty for what its maker gave it."""
        return self._arriving.firmware

    @property
    def is_online(self) -> bool:
        return self._is_online

    def connect(self, moment: Moment | None = None) -> bytes:
        self._is_online = self._is_off = False
        self._moment = moment or self._moment
        self._splitter = DelimitedSplitter(FLAG, MAX_RUN_BYTES)
        return self._register() if self._code is None else self._authenticate(self._code)

    def receive(self, data: bytes) -> Sequence[TerminalEvent]:
        events: list[TerminalEvent] = []
        for run in self._splitter.feed(data):
            opened = run if isinstance(run, Malformed) else open_frame(run)
            if isinstance(opened, Malformed) or self._is_off:
                continue
            head, body = opened
            header = read_header(head)
            try:
                if header.id == UPGRADE_PACKAGE and header.is_part:
                    events += self._upgraded(header, body)
                    continue
                whole = self._put_together(header, body)
                if whole is not None:
                    events += self._take(Message(header.identity, header.id, header.sequence, head, whole))
            except ConstructError:
                # The platform's answer is cut short: as good as none.
                continue
        return events

    def report(self, moment: Moment) -> Sequence[Made]:
        self._moment = moment
        items = [
            Item(0x01, 4, "odometer_km", _START_ODOMETER_KM + moment.odometer_km),
            Item(0x02, 2, "fuel_l", max(0.0, _START_FUEL_L - moment.odometer_km * _LITRES_PER_KM)),
            Item(0x30, 1, "signal", 24),
            Item(0x31, 1, "satellites", 12),
        ]
        return [Made(self._take_sequence(), "location", self._location(moment, items))]

    def photo(self, moment: Moment, size: int = PHOTO_BYTES, lost: Collection[int] = ()) -> Sequence[Made]:
        """Take a photo: a report that leaves in sub-packets. Those of the numbers in ``lost`` do not leave the first time."""
        media_id, self._next_media_id = self._next_media_id, self._next_media_id + 1
        body = photo_body(media_id, self._standing(moment), size, f"{self.identity} {media_id}")
        return [self._photo(body, lost)]

    def _photo(self, body: bytes, lost: Collection[int] = ()) -> Made:
        photo = Photo(MULTIMEDIA_DATA, self._phone, self._next, body, lost)
        sequence = self._take_sequence(photo.total)
        self._photos[sequence] = photo
        return Made(sequence, "multimedia_data", body)

    def send(self, waiting: Sequence[Made]) -> tuple[bytes, int]:
        if not self._is_online:
            return b"", 0
        return b"".join([self.frame(made.sequence, made.body) for made in waiting]), len(waiting)

    def frame(self, sequence: int, body: bytes) -> bytes:
        """The bytes of a report made before, the same each time they are sent."""
        if sequence in self._photos:
            return self._photos[sequence].frames()
        self._await(sequence)
        return self._frame(UPGRADE_RESULT if sequence in self._upgrade_results else LOCATION, sequence, body)

    def heartbeat(self) -> bytes:
        return self._frame(HEARTBEAT, self._take_sequence(), b"") + self._said(self._arriving.ask())

    def _take(self, message: Message) -> list[TerminalEvent]:
        if message.kind == REGISTER_RESPONSE:
            return self._registered(message.body)
        if message.kind == PLATFORM_GENERAL_RESPONSE:
            return self._answered(message.body)
        if message.kind == MULTIMEDIA_RESPONSE:
            return self._uploaded(message.body)
        if message.kind == PLATFORM_SUB_PACKET_REQUEST:
            return self._asked_again(message)
        return self._obey(message) if self._is_online else []

    def _obey(self, message: Message) -> list[TerminalEvent]:
        """What is said to a command, pictures that it makes leave, and a new login where it begins anew."""
        events: list[TerminalEvent] = []
        if said := self._said(self.orders.obey(message)):
            events.append(Send(said))
        self.heartbeat_seconds = max(1.0, float(self.orders.parameters["heartbeat_interval_s"]))
        for picture in self._leaving:
            made = self._photo(picture.body)
            events += [made, Send(self.frame(made.sequence, made.body))]
        self._leaving.clear()
        wants, self.orders.wants = self.orders.wants, ""
        if not wants:
            return events
        self._is_online = False
        if wants == "factory_reset":
            self._code = None
        if wants in ("reset", "factory_reset"):
            return [*events, Send(self._register() if self._code is None else self._authenticate(self._code))]
        self._is_off = True
        return events

    def _put_together(self, header: Header, body: bytes) -> bytes | None:
        """The body of a message, once all of it is there; it is answered by the number of its last piece."""
        if not header.is_part:
            return body
        first = (header.sequence - header.number + 1) & 0xFFFF
        if first != self._pieces_of:
            self._pieces_of, self._pieces = first, {}
        self._pieces[header.number] = body
        if len(self._pieces) < header.total:
            return None
        pieces, self._pieces, self._pieces_of = self._pieces, {}, -1
        return b"".join(pieces[number] for number in sorted(pieces))

    def _shoot(self, channel: int) -> Picture | None:
        if self._moment is None:
            return None
        media_id, self._next_media_id = self._next_media_id, self._next_media_id + 1
        seed = f"{self.identity} {media_id}"
        return Picture(media_id, channel, photo_body(media_id, self._standing(self._moment), PHOTO_BYTES, seed, COMMANDED, channel))

    def _locate(self) -> bytes | None:
        return self._location(self._moment, []) if self._moment else None

    def _standing(self, moment: Moment) -> bytes:
        return self._location(moment._replace(speed_kmh=0.0, course_deg=0.0), [])

    def _registered(self, body: bytes) -> list[TerminalEvent]:
        answer = REGISTRATION_ACCEPTED.parse(body)
        if answer.result != "success":
            return []
        self._code = str(answer.code)
        return [Send(self._authenticate(self._code))]

    def _answered(self, body: bytes) -> list[TerminalEvent]:
        answer = GENERAL_RESPONSE.parse(body)
        is_good = answer.result in ("success", "alarm_confirmed")
        if answer.answered_kind == AUTHENTICATE and answer.answered_sequence == self._authentication:
            self._is_online = is_good
            if not is_good:
                # Registered anew with the next link; at once would be without end where the platform never agrees.
                self._code = None
        elif answer.answered_kind in (LOCATION, UPGRADE_RESULT) and is_good and answer.answered_sequence in self._awaited:
            sequence = self._awaited.pop(answer.answered_sequence)
            self._upgrade_results.discard(sequence)
            return [Acked(sequence)]
        return []

    def _uploaded(self, body: bytes) -> list[TerminalEvent]:
        """The platform has a photo, or all of one but the pieces it lists: these again, and the photos it has."""
        media_id, numbers = body[:4], [int.from_bytes(body[at : at + 2], "big") for at in range(5, len(body) - 1, 2)]
        for sequence, photo in self._photos.items():
            if photo.media_id == media_id:
                if numbers:
                    return [Send(photo.frames(numbers))]
                del self._photos[sequence]
                return [Acked(sequence)]
        return []

    def _upgraded(self, header: Header, body: bytes) -> list[TerminalEvent]:
        """A piece of a file. With its last one it says how that went; with the last one again, once more."""
        had_it = self._arriving.result is not None
        events: list[TerminalEvent] = [Send(self._said(self._arriving.take(header, body)))]
        result = self._arriving.result
        if result is not None and (not had_it or header.number == header.total):
            made = Made(self._take_sequence(), "upgrade_result", result)
            self._upgrade_results.add(made.sequence)
            events += [made, Send(self.frame(made.sequence, made.body))]
        return events

    def _said(self, said: Sequence[Said]) -> bytes:
        return b"".join([self._frames(id, body) for id, body in said])

    def _frames(self, id: int, body: bytes) -> bytes:
        if len(body) <= MAX_BODY_BYTES:
            return self._frame(id, self._take_sequence(), body)
        pieces = Photo(id, self._phone, self._next, body, ())
        self._take_sequence(pieces.total)
        return pieces.frames()

    def _asked_again(self, message: Message) -> list[TerminalEvent]:
        first_sequence, numbers = wanted_pieces(message)
        asked = [photo for photo in self._photos.values() if photo.first_sequence == first_sequence]
        return [Send(asked[-1].frames(numbers))] if asked and numbers else []

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

    def _location(self, moment: Moment, items: Sequence[Item]) -> bytes:
        status = ["ignition", "fix", "gps_used", "beidou_used"]
        status += ["doors_locked"] * self.orders.are_doors_locked
        status += ["south"] * (moment.latitude < 0) + ["west"] * (moment.longitude < 0)
        return LOCATION_2013.build(
            {
                "alarm_flags": ["overspeed"] if moment.speed_kmh > _SPEED_LIMIT_KMH else [],
                "status": status,
                "latitude": abs(moment.latitude),
                "longitude": abs(moment.longitude),
                "altitude": round(moment.altitude_m),
                "speed": moment.speed_kmh,
                "course": round(moment.course_deg) % 360,
                "time": moment.time,
                "items": items,
            }
        )
