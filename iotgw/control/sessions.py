"""Who is on this gateway, and why somebody is not."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import islice

from pydantic import Field

from iotgw.control.bans import BanTold, device_ban
from iotgw.control.route import Asked, ControlError, Given, Route, Told
from iotgw.departures import Departure
from iotgw.sessions import Session

UNKNOWN = {404: "The device has no session here."}


class SessionsQuery(Given):
    protocol: str | None = Field(None, description="Of this protocol only.")
    offset: int = Field(0, ge=0, description="So many are left out, the ones that began first.")
    limit: int = Field(100, ge=1, le=1000, description="So many at the most.")


class SessionTold(Told):
    protocol: str
    identity: str
    peer: str = Field(description="The device's address and port.")
    seconds: float = Field(description="For how long the session has lasted.")
    link_seconds: float = Field(description="For how long its link has been open.")
    link_devices: int = Field(description="Devices that share its link, with itself.")
    ack_seconds: float | None = Field(
        description="How long the last acked message of its link took to be answered; null before the first."
    )


class SessionsTold(Told):
    total: int = Field(description="Sessions of this gateway, of all protocols.")
    sessions: list[SessionTold]


class DepartureTold(Told):
    at: datetime
    cause: str = Field(description="As in links.closed.<cause>; logout, refused, kicked or replaced as well.")
    peer: str
    ack_seconds: float | None


class DeviceTold(Told):
    protocol: str
    identity: str
    is_online: bool
    session: SessionTold | None
    last_departure: DepartureTold | None = Field(description="How it went away last, or was not let in.")
    ban: BanTold | None


class KickTold(Told):
    kicked: bool = True


def list_sessions(asked: Asked) -> SessionsTold:
    sessions = asked.reach.gateway.sessions
    query: SessionsQuery = asked.query
    wanted = (session for session in sessions if query.protocol is None or session.protocol == query.protocol)
    rows = islice(wanted, query.offset, query.offset + query.limit)
    return SessionsTold(total=len(sessions), sessions=[_session(asked, row) for row in rows])


def show_device(asked: Asked) -> DeviceTold:
    gateway, (protocol, identity) = asked.reach.gateway, (asked.path["protocol"], asked.path["identity"])
    session, departure = gateway.sessions.get(protocol, identity), gateway.departures.get(protocol, identity)
    ban = device_ban(asked, protocol, identity)
    if session is None and departure is None and ban is None:
        raise _unknown(protocol, identity)
    return DeviceTold(
        protocol=protocol,
        identity=identity,
        is_online=session is not None,
        session=_session(asked, session) if session else None,
        last_departure=_departure(departure) if departure else None,
        ban=ban,
    )


def kick(asked: Asked) -> KickTold:
    protocol, identity = asked.path["protocol"], asked.path["identity"]
    if not asked.reach.gateway.kick(protocol, identity):
        raise _unknown(protocol, identity)
    return KickTold()


def _session(asked: Asked, session: Session) -> SessionTold:
    return SessionTold(
        protocol=session.protocol,
        identity=session.identity,
        peer=session.link.peer,
        seconds=round(asked.reach.gateway.now() - session.since, 3),
        link_seconds=round(time.monotonic() - session.opened_at, 3),
        link_devices=len(session.link.identities),
        ack_seconds=session.link.ack_seconds,
    )


def _departure(departure: Departure) -> DepartureTold:
    at = datetime.fromtimestamp(departure.at, UTC)
    return DepartureTold(at=at, cause=departure.cause, peer=departure.peer, ack_seconds=departure.ack_seconds)


def _unknown(protocol: str, identity: str) -> ControlError:
    text = f"this gateway knows nothing of {protocol[:32]} device {identity[:64]}: is it on another one? Run tasks.devices.summary"
    return ControlError(404, "unknown_device", text)


ROUTES = (
    Route("GET", "/v1/sessions", "Sessions of this gateway, oldest first", list_sessions, SessionsTold, query=SessionsQuery),
    Route(
        "GET",
        "/v1/sessions/{protocol}/{identity}",
        "A device: its session, or why it has none",
        show_device,
        DeviceTold,
        errors={404: "This gateway knows nothing of the device."},
        describe="Of devices without session the newest 50,000 are remembered, since the start of the process.",
    ),
    Route(
        "POST",
        "/v1/sessions/{protocol}/{identity}/kick",
        "Close a device's link",
        kick,
        KickTold,
        errors=UNKNOWN,
        describe="It may come back at once. A link with other devices stays open: the session begins anew with the next message.",
    ),
)
